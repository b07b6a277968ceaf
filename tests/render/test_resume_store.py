"""The chunks kept beside a film: whole or not there, and taken up only by a film that is the same."""

import multiprocessing
import os

import numpy as np
import pytest

from lingbot_cli.errors import OutputError, UsageError
from lingbot_cli.render.resume_store import ResumeStore, fingerprint_difference

FACTS = {"model": "m", "seed": "1"}
TOLD = [{"prompt": "day"}, {"prompt": "day"}, {"prompt": "night"}]


@pytest.fixture
def trail(tmp_path):
    trail = ResumeStore.beside(str(tmp_path / "walk.mp4"))
    with trail.alone():
        trail.begin(FACTS, 0)
        for index, told in enumerate(TOLD):
            trail.keep(index, np.full((16, 3, 2, 2), index, np.float32), told)
        yield trail


def test_what_is_kept_comes_back(trail, tmp_path):
    past = trail.past(FACTS, TOLD)
    assert past.chunks == 3
    assert (past.latents(2) == np.full((16, 3, 2, 2), 2, np.float32)).all()
    assert trail.folder == tmp_path / "walk.mp4.resume"
    assert ResumeStore.beside(str(tmp_path / "film" / "%05d.png")).folder == tmp_path / "film.resume"


@pytest.mark.parametrize("harm", ["cut", "gone", "noise"])
def test_a_damaged_chunk_ends_what_can_be_taken_up(trail, harm):
    file = trail.folder / "000001.safetensors"
    if harm == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1] if harm == "cut" else b"\xff" * 80)
    assert trail.past(FACTS, TOLD).chunks == 1
    trail.begin(FACTS, 1)
    assert [file.name for file in trail.folder.glob("*.safetensors")] == ["000000.safetensors"]


def test_another_model_is_refused_with_the_difference(trail):
    with pytest.raises(UsageError, match="model was m and is n"):
        trail.past(FACTS | {"model": "n"}, TOLD)


def test_another_timeline_is_refused_before_the_fork_and_taken_after(trail):
    changed = [*TOLD[:2], {"prompt": "noon", "cut": "x"}]
    with pytest.raises(
        UsageError, match=r"chunk 3 .*prompt was night and is noon, cut was not said and is x"
    ):
        trail.past(FACTS, changed)
    assert trail.past(FACTS, changed, fork=2).chunks == 2
    assert trail.past(FACTS, TOLD[:1]).chunks == 1
    assert trail.past(FACTS, changed, fork=0) is None


def test_difference_of_equals_is_nothing():
    assert fingerprint_difference(FACTS, dict(FACTS)) == ""


def _hold(path, ready):
    with ResumeStore.beside(path).alone():
        ready.set()
        os.kill(os.getpid(), 9)


def test_two_runs_never_make_one_film_and_a_killed_one_is_no_hindrance(trail, tmp_path, monkeypatch):
    monkeypatch.setattr("lingbot_cli.render.resume_store.LOCK_TIMEOUT_S", 0.3)
    with pytest.raises(UsageError, match="another run"), trail.alone():
        pass
    other = str(tmp_path / "other.mp4")
    spawn = multiprocessing.get_context("spawn")
    ready = spawn.Event()
    child = spawn.Process(target=_hold, args=(other, ready))
    child.start()
    child.join(60)
    assert child.exitcode == -9
    with ResumeStore.beside(other).alone():
        assert ResumeStore.beside(other).facts() is None
    assert not ResumeStore.beside(other).folder.exists()


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with (
        pytest.raises(OutputError, match="does not exist"),
        ResumeStore.beside(str(tmp_path / "no" / "a.mp4")).alone(),
    ):
        pass
