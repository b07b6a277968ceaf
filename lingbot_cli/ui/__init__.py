"""Displays, progress and signals of every command that runs for long.

The terminal player and the preview in a terminal live in terminal/, the table of a batch in batch/.
"""
