"""Drawings of a compiled timeline without a model: top-view maps and the animatic.

Captions burnt into rendered videos live in `sinks.overlay`.
"""
