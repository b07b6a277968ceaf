"""Colours of the courtyard's surfaces in shade and light, for four moods.

One value per pixel mixes a surface's two colours, so a change of mood is a mix of two tables, and every state
between two moods is rendered exactly.
"""

import torch

MOODS = ("day", "dusk", "night", "snow")

SURFACES = (
    "sky",  # horizon … zenith
    "sea",  # near … at the horizon
    "ground",
    "path",
    "pool",
    "rim",
    "north",
    "east",
    "south",
    "west",
    "cap",  # the top of the walls
    "door",
    "rose",  # the round window in the west
    "gate",  # the frame around the sea gate
    "tower",
    "roof",
    "crown",  # the tree
    "dome",
    "lamp",  # sun or moon
)

# One line per surface: (shade, light) for day, dusk, night, snow, as sRGB hex.
_TABLE = {
    "sky": ("d9f0f2 4aa3dc", "ffb36b 8a5aa8", "35457f 10173f", "e6ebf1 a9bbd0"),
    "sea": ("1f7fb0 63c3d8", "7d4a86 f2936b", "13204f 33508c", "6f8da6 b4c6d2"),
    "ground": ("cdb487 f0deb0", "8f5f6b d08f74", "262c56 3f4a7c", "c9d4e3 f7fafc"),
    "path": ("b98f63 d9b384", "75475c b06d62", "1d2247 333c69", "93a3b8 bccadb"),
    "pool": ("1c8fb8 55c9da", "6b4a92 e58a8a", "141c4c 3d5aa0", "8fb2cc c4dbe8"),
    "rim": ("e0d2b8 fbf3df", "a87b7f e6b294", "3a4270 5d6a9c", "b3c2d4 ffffff"),
    "north": ("d9973f f3bd5c", "a2563f de8a4c", "3a2c4c 58426a", "c99a5c e0b878"),
    "east": ("c8594a e67c62", "93364f d2564e", "40203f 632f53", "b8685f cf867a"),
    "south": ("3f9a8c 63bfa8", "3f5377 7f7a88", "15304f 225068", "5f9a96 86b8b0"),
    "west": ("7b6bb5 a394d6", "5b3d7e 96609a", "231f57 3c3580", "7d78ad a5a2cb"),
    "cap": ("f0e4c8 fff8e6", "b98a84 f2c09c", "454c7a 6a76a8", "f4f7fa ffffff"),
    "door": ("5e3b2a 7d5238", "4a2536 703a3c", "e9a83f ffd070", "57392c 75503c"),
    "rose": ("f2d45c fff0a0", "ffcf5e fff0a8", "f2b445 ffdc84", "e6c860 f6e6a0"),
    "gate": ("f4ead6 fffaf0", "c8958c f6c8a6", "4b5280 707cb0", "f2f5f8 ffffff"),
    "tower": ("d8d4d6 fbf8f2", "8e6688 eeb49c", "2f376b 5a679c", "a58f86 e2d3c6"),
    "roof": ("b5332c e25540", "7a2444 c2444a", "3a1c46 5a2b58", "e3e9f0 ffffff"),
    "crown": ("2f7a3a 6cb84e", "37454f 7f6a50", "0f2f3c 1e4f50", "3d6a66 9fc0b6"),
    "dome": ("d99a1f ffd95a", "b3622f ffb04f", "5a4a5c 8f7a78", "b9975a f7e7b8"),
    "lamp": ("fff6c8 fffbe0", "ffe08a fff0b8", "f4f0d4 fffbe8", "dbe2ea dfe5ec"),
}


def _channels(code: str) -> list[float]:
    return [int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)]


def mood_tables() -> torch.Tensor:
    """Return colours [moods, surfaces, 2, 3] in 0…1: shade first, light second."""
    rows = [[[_channels(end) for end in _TABLE[s][m].split()] for s in SURFACES] for m in range(len(MOODS))]
    return torch.tensor(rows)
