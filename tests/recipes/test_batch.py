"""The batch recipes, run by a shell as on a CI server and on Slurm."""

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "recipes" / "batch"


@pytest.fixture
def shell(tmp_path):
    """Return a function that runs a script in a copy of the repository with small jobs."""
    folder = tmp_path / "repository"
    (folder / "recipes" / "batch").mkdir(parents=True)
    (folder / "samples").symlink_to(ROOT / "samples")
    for recipe in ("first-walk.yaml", "batch/slurm.sbatch", "batch/slurm-frames.sbatch"):
        (folder / "recipes" / recipe).symlink_to(ROOT / "recipes" / recipe)
    jobs = (
        (RECIPES / "seeds.yaml").read_text().replace("defaults:", "defaults:\n  size: 32x32\n  duration: 9f")
    )
    (folder / "recipes" / "batch" / "seeds.yaml").write_text(jobs)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "lingbot"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m lingbot_cli "$@"\n')
    program.chmod(0o755)

    def run(script, **variables):
        environ = os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
        command = ["bash", "-euo", "pipefail", "-c", script]
        done = subprocess.run(
            command, cwd=folder, env=environ | variables, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run.folder = folder
    return run


def rendered(folder):
    return sorted(str(path.relative_to(folder / "videos")) for path in (folder / "videos").rglob("*.mp4"))


def junit_counts(junit):
    suite = ElementTree.parse(junit).getroot()
    return int(suite.get("tests")), int(suite.get("failures"))


def test_github_actions(shell):
    job = yaml.safe_load((RECIPES / "github-actions.yml").read_text())["jobs"]["videos"]
    steps = {step["name"]: step["run"] for step in job["steps"] if "run" in step}
    shard = job["env"]["LINGBOT_SHARD"].replace("${{ matrix.shard }}", "4")
    printed = shell(steps["render"] + steps["contact sheet"], LINGBOT_SHARD=shard)
    assert "3 videos, 3 to render" in printed
    assert len(rendered(shell.folder)) == 3
    assert junit_counts(shell.folder / "videos" / "junit.xml") == (3, 0)
    assert (shell.folder / "videos" / "sheet.png").is_file()


def test_gitlab_ci(shell):
    script = "\n".join(yaml.safe_load((RECIPES / "gitlab-ci.yml").read_text())["videos"]["script"])
    for index in ("2", "2"):
        printed = shell(script, CI_NODE_INDEX=index, CI_NODE_TOTAL="6")
    assert "2 videos: 2 skipped" in printed
    assert junit_counts(shell.folder / "videos" / "junit.xml") == (2, 0)


def test_slurm_arrays(shell):
    array = {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_COUNT": "12"}
    shell("mkdir videos; bash recipes/batch/slurm.sbatch recipes/batch/seeds.yaml videos", **array)
    assert rendered(shell.folder) == ["courtyard-day/a-stone-courtyard-in-the-rain-4.mp4"]
    frames = "bash recipes/batch/slurm-frames.sbatch samples/courtyard-day.png recipes/first-walk.yaml frames"
    shell(frames, SLURM_ARRAY_TASK_ID="2", FRAMES_EACH="3", LINGBOT_SIZE="32x32")
    assert len(list((shell.folder / "frames" / "002").glob("*.png"))) == 3
