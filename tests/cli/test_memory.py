"""A long video takes no more memory than a short one."""

import json
import subprocess
import sys

from PIL import Image

from tests.support.reference import sample_image


def test_memory_is_flat_from_frame_1000_to_frame_10000(tmp_path):
    Image.fromarray(sample_image(40, 48)).save(tmp_path / "first.png")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "lingbot_cli", "render", str(tmp_path / "first.png")),
            *("--moves", "w-10000", "--size", "16x16", "-o", "null:", "--json"),
        ],
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    chunks = [said for line in done.stdout.splitlines() if (said := json.loads(line))["event"] == "chunk"]
    assert chunks[-1]["frames"] == 10_000
    held = [chunk["memory"] for chunk in chunks if chunk["frames"] >= 1000]
    assert max(held) <= held[0] * 1.02
    assert min(held) >= held[0] * 0.98
