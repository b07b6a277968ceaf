"""Outputs of a video: files, image sequences, standard output and, in `live/`, streams.

Everything that runs ffmpeg to write lives here. Sinks receive frames and know no model, timeline or torch; previews,
which belong to a page or a terminal, live in `server/` and `terminal/`.
"""
