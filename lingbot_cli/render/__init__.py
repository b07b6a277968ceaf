"""Render: a request is prepared, checked and rendered into a sink, by this process, several GPUs or a server.

Here: the pipeline, resuming, recipes, dry runs, process groups. Not here: the model (`model/`), the outputs
(`sinks/`), many videos at once (`batch/`), and endless streams (`broadcast/`).
"""
