"""A checkpoint with the tensor shapes of a published model and random weights."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.support.reference import REFERENCE

SHARDS = 6
PIECE = 4 * 2**20


def write_1_3b(folder: Path) -> Path:
    """Write the 1.3B model in its published layout: six float32 shards and an index."""
    folder.mkdir()
    text = (REFERENCE / "checkpoints" / "manifests" / "transformer-1.3b.json").read_text()
    shapes: dict[str, list[int]] = json.loads(text)
    names = list(shapes)
    weight_map = {}
    draw = np.random.default_rng(0)
    noise = draw.standard_normal(PIECE // 4, dtype=np.float32)
    for shard in range(SHARDS):
        file = f"model-{shard + 1:05d}-of-{SHARDS:05d}.safetensors"
        mine = names[len(names) * shard // SHARDS : len(names) * (shard + 1) // SHARDS]
        weight_map |= dict.fromkeys(mine, file)
        table, position = {}, 0
        for name in mine:
            end = position + 4 * int(np.prod(shapes[name]))
            table[name] = {"dtype": "F32", "shape": shapes[name], "data_offsets": [position, end]}
            position = end
        header = json.dumps(table).encode()
        with (folder / file).open("wb") as target:
            target.write(len(header).to_bytes(8, "little") + header)
            for name in mine:
                for piece in _values(name, shapes[name], noise):
                    target.write(piece.tobytes())
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def _values(name: str, shape: list[int], noise: np.ndarray) -> Iterator[np.ndarray]:
    """Yield ones for norms, zeros for biases, else noise that preserves the scale of its input."""
    count = int(np.prod(shape))
    for start in range(0, count, len(noise)):
        length = min(len(noise), count - start)
        if "norm" in name and name.endswith("weight"):
            yield np.ones(length, np.float32)
        elif name.endswith("bias"):
            yield np.zeros(length, np.float32)
        else:
            yield noise[:length] * np.float32(np.prod(shape[1:]) ** -0.5)
