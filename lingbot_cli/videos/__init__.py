"""Finished videos read back with ffmpeg: frames, comparison and contact sheets.

Writing videos lives in `sinks`, the metadata in them in `render.metadata`.
"""
