"""Saved chunks: complete or absent, and reused only by the same video."""

import multiprocessing
import os

import numpy as np
import pytest

from lingbot_cli.errors import OutputError, UsageError
from lingbot_cli.render.fingerprint import fingerprint_difference
from lingbot_cli.render.resume_store import ResumeStore
from lingbot_cli.runtime.autotune import Tuning

VIDEO = {"model": "m", "seed": "1"}
CHUNKS = [{"prompt": "day"}, {"prompt": "day"}, {"prompt": "night"}]


@pytest.fixture
def store(tmp_path):
    store = ResumeStore.for_output(str(tmp_path / "walk.mp4"))
    with store.locked():
        store.start(VIDEO, 0)
        for index, chunk in enumerate(CHUNKS):
            store.save_chunk(index, np.full((16, 3, 2, 2), index, np.float32), chunk)
        yield store


def test_saved_chunks_are_loaded(store, tmp_path):
    saved = store.load(VIDEO, CHUNKS)
    assert saved.chunks == 3
    assert (saved.latents(2) == np.full((16, 3, 2, 2), 2, np.float32)).all()
    assert store.folder == tmp_path / "walk.mp4.resume"
    assert ResumeStore.for_output(str(tmp_path / "film" / "%05d.png")).folder == tmp_path / "film.resume"


@pytest.mark.parametrize("harm", ["cut", "gone", "noise"])
def test_a_damaged_chunk_ends_the_reusable_chunks(store, harm):
    file = store.folder / "000001.safetensors"
    if harm == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1] if harm == "cut" else b"\xff" * 80)
    assert store.load(VIDEO, CHUNKS).chunks == 1
    store.start(VIDEO, 1)
    assert [file.name for file in store.folder.glob("*.safetensors")] == ["000000.safetensors"]


def test_another_model_is_refused_with_the_difference(store):
    with pytest.raises(UsageError, match="model m, now n"):
        store.load(VIDEO | {"model": "n"}, CHUNKS)


def test_another_timeline_is_refused_before_the_fork_and_taken_after(store):
    changed = [*CHUNKS[:2], {"prompt": "noon", "cut": "x"}]
    with pytest.raises(UsageError, match=r"chunk 3 .*prompt night, now noon, cut not set, now x"):
        store.load(VIDEO, changed)
    assert store.load(VIDEO, changed, fork=2).chunks == 2
    assert store.load(VIDEO, CHUNKS[:1]).chunks == 1
    assert store.load(VIDEO, changed, fork=0) is None


def test_difference_of_equals_is_nothing():
    assert fingerprint_difference(VIDEO, dict(VIDEO)) == ""


def _hold(path, ready):
    with ResumeStore.for_output(path).locked():
        ready.set()
        os.kill(os.getpid(), 9)


def test_two_runs_never_make_one_film_and_a_killed_one_is_no_hindrance(store, tmp_path, monkeypatch):
    monkeypatch.setattr("lingbot_cli.render.resume_store.LOCK_TIMEOUT_S", 0.3)
    with pytest.raises(UsageError, match="another run"), store.locked():
        pass
    other = str(tmp_path / "other.mp4")
    spawn = multiprocessing.get_context("spawn")
    ready = spawn.Event()
    child = spawn.Process(target=_hold, args=(other, ready))
    child.start()
    child.join(60)
    assert child.exitcode == -9
    with ResumeStore.for_output(other).locked():
        assert ResumeStore.for_output(other).fingerprint() is None
    assert not ResumeStore.for_output(other).folder.exists()


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with (
        pytest.raises(OutputError, match="does not exist"),
        ResumeStore.for_output(str(tmp_path / "no" / "a.mp4")).locked(),
    ):
        pass


def test_a_tuning_is_saved_with_the_run(store):
    assert store.tuning() is None
    store.start(VIDEO, 3, Tuning("math", 2))
    assert store.tuning() == Tuning("math", 2)
    store.start(VIDEO, 3)
    assert store.tuning() == Tuning("math", 2)
    for damaged in ("{}", '{"threads": "x"}', '{"threads": null}', "[]", "x"):
        (store.folder / "tuning.json").write_text(damaged)
        assert store.tuning() is None


@pytest.mark.parametrize("content", ["[1]", "x", "[" * 100_000, None])
def test_a_folder_without_a_readable_fingerprint_has_nothing_to_resume(store, content):
    file = store.folder / "video.json"
    file.unlink() if content is None else file.write_text(content)
    assert store.fingerprint() is None
    assert store.load(VIDEO, CHUNKS) is None


def test_chunks_count_up_to_the_first_gap(store):
    assert store.count_chunks() == 3
    (store.folder / "000000.safetensors").unlink()
    assert store.count_chunks() == 0
    assert store.load(VIDEO, CHUNKS) is None


def test_a_lock_keeps_saved_chunks_and_removes_an_empty_folder(tmp_path):
    store = ResumeStore.for_output(str(tmp_path / "a.mp4"))
    with store.locked():
        store.start(VIDEO, 0)
    assert not store.folder.exists()
    for _ in range(2):
        with store.locked():
            store.save_chunk(0, np.zeros((16, 3, 2, 2), np.float32), CHUNKS[0])
        assert store.count_chunks() == 1
    store.clear_unless_locked()
    assert not store.folder.exists()


def test_a_locked_folder_is_left_alone(store, monkeypatch):
    monkeypatch.setattr("lingbot_cli.render.resume_store.LOCK_TIMEOUT_S", 0.1)
    store.clear_unless_locked()
    assert store.count_chunks() == 3
    with pytest.raises(UsageError, match="another run"), store.locked():
        pass


def test_infinite_latents_are_not_continued(store):
    store.save_chunk(2, np.full((16, 3, 2, 2), np.inf, np.float32), CHUNKS[2])
    with pytest.raises(UsageError, match="chunk 3 has NaN or infinite latents"):
        store.load(VIDEO, CHUNKS)
    assert store.load(VIDEO, CHUNKS[:2]).chunks == 2


def test_files_of_others_stay_when_a_run_starts(store):
    (store.folder / "notes.safetensors").write_bytes(b"mine")
    store.start(VIDEO, 1)
    assert sorted(file.name for file in store.folder.glob("*.safetensors")) == [
        "000000.safetensors",
        "notes.safetensors",
    ]
