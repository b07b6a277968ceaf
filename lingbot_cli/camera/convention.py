"""Conventions of camera matrices: the axes of camera and world, and the direction of the matrix."""

from typing import Literal

Convention = Literal["opencv", "opengl", "blender"]
"""opencv: camera and world x right, y down, z forward; opengl: y up, z backward; blender: that camera, world z up."""
Matrix = Literal["c2w", "w2c"]

_AXES = {"opencv": "OpenCV", "opengl": "OpenGL", "blender": "Blender"}


def describe_convention(convention: Convention, matrix: Matrix) -> str:
    """Return a convention in words."""
    return f"{'camera-to-world' if matrix == 'c2w' else 'world-to-camera'}, {_AXES[convention]} axes"
