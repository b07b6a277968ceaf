"""The farm's recipes, run as the shells of a CI server and of Slurm would run them."""

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FARM = ROOT / "recipes" / "farm"


@pytest.fixture
def shell(tmp_path):
    """Runs a script with the repository's recipes and samples beside it, and jobs that are small."""
    place = tmp_path / "repository"
    (place / "recipes" / "farm").mkdir(parents=True)
    (place / "samples").symlink_to(ROOT / "samples")
    for recipe in ("first-walk.yaml", "farm/slurm.sbatch", "farm/slurm-frames.sbatch"):
        (place / "recipes" / recipe).symlink_to(ROOT / "recipes" / recipe)
    jobs = (FARM / "seeds.yaml").read_text().replace("defaults:", "defaults:\n  size: 32x32\n  duration: 9f")
    (place / "recipes" / "farm" / "seeds.yaml").write_text(jobs)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "lingbot"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m lingbot_cli "$@"\n')
    program.chmod(0o755)

    def run(script, **variables):
        environ = os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
        command = ["bash", "-euo", "pipefail", "-c", script]
        done = subprocess.run(
            command, cwd=place, env=environ | variables, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run.place = place
    return run


def made(place):
    return sorted(str(path.relative_to(place / "films")) for path in (place / "films").rglob("*.mp4"))


def counted(junit):
    suite = ElementTree.parse(junit).getroot()
    return int(suite.get("tests")), int(suite.get("failures"))


def test_github_actions(shell):
    job = yaml.safe_load((FARM / "github-actions.yml").read_text())["jobs"]["films"]
    steps = {step["name"]: step["run"] for step in job["steps"] if "run" in step}
    shard = job["env"]["LINGBOT_SHARD"].replace("${{ matrix.part }}", "4")
    said = shell(steps["make"] + steps["show"], LINGBOT_SHARD=shard)
    assert "3 films, 3 to make" in said
    assert len(made(shell.place)) == 3
    assert counted(shell.place / "films" / "junit.xml") == (3, 0)
    assert (shell.place / "films" / "sheet.png").is_file()


def test_gitlab_ci(shell):
    script = "\n".join(yaml.safe_load((FARM / "gitlab-ci.yml").read_text())["films"]["script"])
    for index in ("2", "2"):
        said = shell(script, CI_NODE_INDEX=index, CI_NODE_TOTAL="6")
    assert "2 films: 2 there" in said
    assert counted(shell.place / "films" / "junit.xml") == (2, 0)


def test_slurm_arrays(shell):
    array = {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_COUNT": "12"}
    shell("mkdir films; bash recipes/farm/slurm.sbatch recipes/farm/seeds.yaml films", **array)
    assert made(shell.place) == ["courtyard-day/a-stone-courtyard-in-the-rain-4.mp4"]
    frames = "bash recipes/farm/slurm-frames.sbatch samples/courtyard-day.png recipes/first-walk.yaml frames"
    shell(frames, SLURM_ARRAY_TASK_ID="2", FRAMES_EACH="3", LINGBOT_SIZE="32x32")
    assert len(list((shell.place / "frames" / "002").glob("*.png"))) == 3
