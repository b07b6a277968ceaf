"""Client of the realtime protocol: renders on another server, `--engine ws://HOST:PORT`.

Here: the server's address and model, sessions with exact poses or with keys. Not here: the server (server/)
and the render loop (render/).
"""
