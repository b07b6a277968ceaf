"""An interrupted render resumes at any chunk with the same result (G7), and can be forked."""

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save_file

from lingbot_cli.model.session import Session
from tests.support.command import lingbot
from tests.support.reference import sample_image

WALK = """timeline: 1
events:
  - {keys: w, for: 21f}
  - {at: 1f, prompt: it rains, recache: true}
  - {cut: second.png, at: 21f}
  - {keys: wd, for: 25f, at: 21f}
"""
CHUNKS = 5  # of 9 and 12 frames, then 9, 12 and 4 of the second scene


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with a finished film and its latents."""
    folder = tmp_path_factory.mktemp("whole")
    for seed, name in enumerate(("first.png", "second.png")):
        Image.fromarray(sample_image(40, 48, seed)).save(folder / name)
    (folder / "walk.yaml").write_text(WALK)
    said = render(folder, "--keep-latents")[-1]
    assert said["event"] == "done"
    assert (said["chunks"], said["frames"]) == (CHUNKS, 46)
    (folder / "hash").write_text(said["latents"])
    return folder


def arguments(folder, *more, timeline="walk.yaml"):
    return [
        *("render", str(folder / "first.png"), "-t", str(folder / timeline), "--prompt", "a court"),
        *("--size", "32x32", "-o", str(folder / "film" / "%03d.png"), *more),
    ]


def render(folder, *more, timeline="walk.yaml", code=0):
    done = lingbot(*arguments(folder, "--json", *more, timeline=timeline))
    assert done.code == code, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()] if code == 0 else done.stderr


def frames(folder):
    return np.stack([np.asarray(Image.open(path)) for path in sorted((folder / "film").glob("*.png"))])


@pytest.fixture
def cut_off(whole, tmp_path):
    """Makes the state in which a run is left that was killed after so many chunks."""

    def make(chunks):
        folder = tmp_path / "left"
        shutil.copytree(whole, folder)
        shutil.rmtree(folder / "film")
        for file in (folder / "film.resume").glob("*.safetensors"):
            if int(file.stem) >= chunks:
                file.unlink()
        return folder

    return make


@pytest.mark.parametrize("chunks", range(CHUNKS + 1))
def test_a_film_resumed_at_any_chunk_is_the_uninterrupted_one(whole, cut_off, chunks):
    folder = cut_off(chunks)
    said = render(folder, "--resume")
    assert said[-1]["latents"] == (whole / "hash").read_text()
    assert (frames(folder) == frames(whole)).all()
    assert not (folder / "film.resume").exists()
    notes = [each["message"] for each in said if "resuming after" in each.get("message", "")]
    assert notes == [f"resuming after {chunks} of {CHUNKS} chunks of an earlier run"] * (chunks > 0)
    assert not [each for each in said if each["event"] == "error"]


def test_a_fast_resume_says_that_it_is_approximate(cut_off):
    said = render(cut_off(3), "--resume", "fast")
    assert any("not bit-equal" in each.get("message", "") for each in said)
    assert said[-1]["frames"] == 46


@pytest.mark.parametrize("dry_run", [(), ("--dry-run",)])
def test_a_fast_resume_needs_the_pass_over_the_clean_latents(cut_off, dry_run):
    folder = cut_off(3)
    refused = render(folder, "--resume", "fast", "--commit", "last-step", *dry_run, code=2)
    assert "--resume fast cannot be used with --commit last-step" in refused
    assert len(list((folder / "film.resume").glob("*.safetensors"))) == 3


def test_other_seed_and_other_words_are_refused_and_a_fork_renders_only_what_follows(whole, cut_off):
    folder = cut_off(4)
    assert "seed 42, now 7" in render(folder, "--resume", "--seed", "7", code=2)
    (folder / "other.yaml").write_text(WALK.replace("wd", "sa"))
    assert "chunk 3 had other inputs" in render(folder, "--resume", timeline="other.yaml", code=2)
    assert not (folder / "film").exists()
    said = render(folder, "--fork-at", "21f", timeline="other.yaml")
    assert any(each.get("message", "").startswith("resuming after 2 of 5 chunks") for each in said)
    assert (frames(folder)[:21] == frames(whole)[:21]).all()
    assert not (frames(folder)[21:] == frames(whole)[21:]).all()


def test_a_killed_renderer_leaves_what_it_made(whole, cut_off):
    folder = cut_off(0)
    command = [
        sys.executable,
        "-m",
        "lingbot_cli",
        "render",
        "first.png",
        "-t",
        "walk.yaml",
        "--prompt",
        "a court",
    ]
    command += ["--size", "32x32", "-o", "film/%03d.png", "--json"]
    env = os.environ | {"PYTHONPATH": os.getcwd(), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True) as child:
        for line in child.stdout:
            if json.loads(line)["event"] == "chunk":
                child.send_signal(signal.SIGKILL)
                break
    said = render(folder, "--resume")
    assert any("resuming after" in each.get("message", "") for each in said)
    assert (frames(folder) == frames(whole)).all()


def test_what_an_interrupted_film_left_is_not_thrown_away_unasked(whole, cut_off):
    folder = cut_off(2)
    refused = render(folder, code=2)
    assert "2 chunks of an interrupted render" in refused
    assert "--resume" in refused
    assert list((folder / "film.resume").iterdir())
    assert render(folder, "--overwrite")[-1]["latents"] == (whole / "hash").read_text()


def test_a_folder_with_the_earlier_name_of_its_fingerprint_still_resumes(whole, cut_off):
    saved = cut_off(2) / "film.resume"
    (saved / "video.json").rename(saved / "film.json")
    done = render(saved.parent, "--resume", "--keep-latents")
    assert any("resuming after 2 of" in each.get("message", "") for each in done)
    assert done[-1]["latents"] == (whole / "hash").read_text()
    assert {path.name for path in saved.glob("*.json")} == {"tuning.json", "video.json"}


def _tensor(**arrays):
    return lambda folder: save_file(arrays, folder / "000001.safetensors", safe_open_metadata(folder))


def safe_open_metadata(folder):
    with safe_open(folder / "000001.safetensors", framework="numpy") as file:
        return file.metadata()


def _text(name, text):
    return lambda folder: (folder / name).write_text(text)


def _replace_by_folder(folder):
    (folder / "video.json").unlink()
    (folder / "video.json").mkdir()


def _replace_by_file(folder):
    shutil.rmtree(folder)
    folder.write_text("")


def _replace_written(folder):
    shutil.rmtree(folder / "written")
    (folder / "written").write_text("")


DAMAGES = {
    "no latents": _tensor(other=np.zeros(3, np.float32)),
    "another shape": _tensor(latents=np.zeros((16, 1, 2, 2), np.float32)),
    "another type": _tensor(latents=np.zeros((16, 3, 4, 4), np.int8)),
    "another file": _text("notes.safetensors", "x"),
    "cut": _text("000001.safetensors", ""),
    "noise": lambda folder: (folder / "000001.safetensors").write_bytes(bytes(range(256)) * 9),
    "nested": _text("video.json", "[" * 99_999),
    "values": _text("video.json", '{"seed": [1], "device": {"a": 1}}'),
    "bytes": lambda folder: (folder / "video.json").write_bytes(b"\xff\xfe{"),
    "threads": _text("tuning.json", '{"threads": "-3"}'),
    "many threads": _text("tuning.json", '{"threads": "999999999999"}'),
    "kernel": _text("tuning.json", '{"threads": "1", "kernel": "none-such"}'),
    "types": _text("tuning.json", '{"threads": [], "kernel": {}}'),
    "folder": _replace_by_folder,
    "file": _replace_by_file,
    "written": _replace_written,
    "other values": _tensor(latents=np.zeros((16, 3, 4, 4), np.float32)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_refused_or_does_not_matter(whole, cut_off, damage):
    folder = cut_off(3)
    DAMAGES[damage](folder / "film.resume")
    done = lingbot(*arguments(folder, "--resume", "--json"))
    assert done.code in (0, 2, 3, 4), done.stderr
    assert "bug" not in done.stderr
    if done.code == 0:
        assert json.loads(done.stdout.splitlines()[-1])["latents"] == (whole / "hash").read_text()


@pytest.mark.parametrize("fault", ["plan", "chunk"])
def test_too_little_memory_leaves_no_folder(tmp_path, monkeypatch, fault):
    Image.fromarray(sample_image(40, 48)).save(tmp_path / "first.png")
    (tmp_path / "walk.yaml").write_text("timeline: 1\nevents: [{keys: w, for: 9f}]\n")

    def fail(*_args, **_options):
        raise MemoryError

    if fault == "chunk":
        monkeypatch.setattr(Session, "denoise", fail)
    size = ("--size", "16000x16000") if fault == "plan" else ()
    assert lingbot(*arguments(tmp_path), *size).code == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.png", "walk.yaml"]
