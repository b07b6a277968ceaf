"""A folder with two images, and the batch command in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.support.command import lingbot
from tests.support.reference import sample_image

ROOT = Path(__file__).parents[2]


class BatchFolder:
    """A folder with two images in which jobs files are written and run."""

    def __init__(self, folder):
        self.folder = folder
        for seed, name in enumerate(("a.png", "b.png")):
            Image.fromarray(sample_image(40, 48, seed)).save(folder / name)

    def jobs(self, *jobs, name="jobs.jsonl", **defaults):
        """Write a jobs file; videos are tiny by default."""
        defaults = {"image": "a.png", "moves": "w-33", "prompt": "a court", "size": "32x32", **defaults}
        lines = [{"defaults": defaults}, *jobs]
        path = self.folder / name
        path.write_text("\n".join(map(json.dumps, lines)))
        return str(path)

    def batch(self, *argv, out="out"):
        """Run to the end; return the command and the videos of its report by name."""
        report = self.folder / "report.json"
        done = lingbot("batch", *argv, "-o", str(self.folder / out), "--report", str(report))
        assert "Traceback" not in done.stderr
        return done, {video["video"]: video for video in json.loads(report.read_text())["videos"]}

    def start(self, *argv, out="out", **streams):
        """Start a child process that prints JSON lines; `streams` as for Popen."""
        return subprocess.Popen(
            [sys.executable, "-m", "lingbot_cli", "batch", *argv, "-o", str(self.folder / out), "--json"],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
            **streams,
        )


@pytest.fixture
def batch_folder(tmp_path):
    return BatchFolder(tmp_path)
