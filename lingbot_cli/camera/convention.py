"""Conventions of camera matrices: the axes of camera and world, the direction of the matrix, and formats to write."""

from typing import Literal

Convention = Literal["opencv", "opengl", "blender"]
"""opencv: camera and world x right, y down, z forward; opengl: y up, z backward; blender: that camera, world z up."""
Matrix = Literal["c2w", "w2c"]
ExportFormat = Literal["npy", "nerfstudio", "colmap", "re10k"]
"""Formats in which cameras are written."""

_AXES = {"opencv": "OpenCV", "opengl": "OpenGL", "blender": "Blender"}


def describe_convention(convention: Convention, matrix: Matrix) -> str:
    """Return a convention in words."""
    return f"{'camera-to-world' if matrix == 'c2w' else 'world-to-camera'}, {_AXES[convention]} axes"
