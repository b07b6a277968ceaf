"""Terminal user interface: playing and previewing with half-blocks, kitty or sixel graphics.

Not here: the progress displays (ui/) and the browser page (server/).
"""
