"""Timelines: YAML or JSON Lines events, read, validated, scheduled on frames and compiled to Controls per chunk.

Camera geometry lives in `camera`, drawings of a timeline in `drawing`; nothing here loads a model or opens an output.
"""
