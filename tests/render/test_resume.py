"""Resume options: what is refused, which saved chunks are reused, and how many frames an output keeps."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from lingbot_cli.errors import UsageError
from lingbot_cli.render.chunk_plan import NO_SAVED_CHUNKS
from lingbot_cli.render.fingerprint import render_fingerprint
from lingbot_cli.render.request import Request, prepare
from lingbot_cli.render.resume import ResumeOptions, count_resumable_frames
from lingbot_cli.render.resume_store import ResumeStore
from lingbot_cli.runtime.model_options import ModelOptions
from lingbot_cli.timeline.resolve import TimelineOverrides
from lingbot_cli.timeline.times import parse_time

FRAMES = 24  # chunks of 9, 12 and 12 frames, the last cut to 3


class Display:
    """Notes and warnings that were shown."""

    def __init__(self):
        self.notes, self.warnings = [], []
        self.note, self.warning = self.notes.append, self.warnings.append


@pytest.fixture
def folder(tmp_path):
    Image.fromarray(np.zeros((64, 96, 3), np.uint8)).save(tmp_path / "a.png")
    return tmp_path


def video(folder, keys="w", **options):
    (folder / "a.jsonl").write_text(f'{{"keys": "w", "for": "21f"}}\n{{"keys": "{keys}", "for": "3f"}}\n')
    return prepare(
        Request(
            folder / "a.png",
            timeline=str(folder / "a.jsonl"),
            overrides=TimelineOverrides(prompt="day"),
            size="48x32",
            options=ModelOptions(device="cpu", **options),
        )
    )


def store(folder, prepared, chunks):
    """Return a store with the first `chunks` chunks of a video."""
    made = ResumeStore.for_output(str(folder / "a.mp4"))
    made.folder.mkdir()
    made.start(render_fingerprint(prepared), 0)
    save = ResumeOptions(made).chunk_saver(prepared)
    for index in range(chunks):
        save(SimpleNamespace(index=index, latents=np.full((16, 3, 4, 6), index, np.float32)))
    return made


@pytest.mark.parametrize(("chunks", "said"), [(1, "1 chunk of"), (2, "2 chunks of")])
def test_saved_chunks_are_not_discarded_unasked(folder, chunks, said):
    prepared = video(folder)
    saved = store(folder, prepared, chunks)
    with pytest.raises(UsageError, match=f"{said} an interrupted render"):
        ResumeOptions(saved).preflight(prepared)
    for allowed in ({"overwrite": True}, {"resume": "exact"}, {"fork_at": parse_time("1s")}):
        ResumeOptions(saved, **allowed).preflight(prepared)


def test_without_saved_chunks_nothing_is_refused(folder):
    prepared = video(folder)
    ResumeOptions(store(folder, prepared, 0)).preflight(prepared)


def test_a_fast_resume_is_refused_where_the_last_step_is_committed(folder):
    for commit, resume, good in (
        ("last-step", "fast", False),
        ("last-step", "exact", True),
        (None, "fast", True),
    ):
        options = ResumeOptions(ResumeStore(folder / "a.mp4.resume"), resume)
        prepared = video(folder, commit=commit)
        if good:
            options.preflight(prepared)
        else:
            with pytest.raises(UsageError, match="cannot be used with --commit last-step"):
                options.preflight(prepared)


@pytest.mark.parametrize("chunks", [0, 2])
def test_the_disk_must_hold_the_latents_that_are_not_saved(folder, monkeypatch, chunks):
    prepared, asked = video(folder), []
    saved = store(folder, prepared, chunks)
    monkeypatch.setattr(ResumeStore, "check_space", lambda _, needed: asked.append(needed))
    ResumeOptions(saved, "exact").preflight(prepared)
    latents = np.zeros((16, 3, 4, 6), np.float32).nbytes
    assert asked == [(3 - chunks) * latents]


def test_chunks_are_reused_only_when_asked_for(folder):
    prepared, display = video(folder), Display()
    saved = store(folder, prepared, 2)
    assert ResumeOptions(saved, overwrite=True).load_saved(prepared, display) is NO_SAVED_CHUNKS
    found = ResumeOptions(saved, "exact").load_saved(prepared, display)
    assert (found.chunks, found.fast) == (2, False)
    assert [int(found.latents(index)[0, 0, 0, 0]) for index in range(2)] == [0, 1]
    assert display.notes == ["resuming after 2 of 3 chunks of an earlier run"]
    assert display.warnings == []


def test_a_resume_without_saved_chunks_begins_anew(folder):
    prepared, display = video(folder), Display()
    options = ResumeOptions(store(folder, prepared, 0), "exact")
    assert options.load_saved(prepared, display) is NO_SAVED_CHUNKS
    assert display.notes == []


@pytest.mark.parametrize(("chunks", "warnings"), [(2, 1), (3, 0)])
def test_a_fast_resume_warns_where_chunks_are_to_be_rendered(folder, chunks, warnings):
    prepared, display = video(folder), Display()
    found = ResumeOptions(store(folder, prepared, chunks), "fast").load_saved(prepared, display)
    assert (found.chunks, found.fast) == (chunks, True)
    assert len(display.warnings) == warnings


@pytest.mark.parametrize(
    ("at", "chunks"), [("8f", 0), ("9f", 1), ("20f", 1), ("21f", 2), ("23f", 2), ("1.4s", 2)]
)
def test_a_fork_reuses_the_chunks_that_end_before_it(folder, at, chunks):
    before = video(folder)
    saved = store(folder, before, 3)
    after = video(folder, keys="s")
    found = ResumeOptions(saved, fork_at=parse_time(at)).load_saved(after, Display())
    assert found.chunks == chunks
    with pytest.raises(UsageError, match="chunk 3 had other inputs"):
        ResumeOptions(saved, "exact").load_saved(after, Display())


def test_a_fork_at_the_end_reuses_all_and_one_after_it_is_refused(folder):
    prepared = video(folder)
    at_end = ResumeOptions(store(folder, prepared, 3), fork_at=parse_time("1.5s"))
    assert at_end.load_saved(prepared, Display()).chunks == 3
    options = ResumeOptions(at_end.store, fork_at=parse_time("25f"))
    with pytest.raises(UsageError, match="--fork-at 25f: the video ends before"):
        options.load_saved(prepared, Display())


class Outputs:
    """A sink whose outputs can keep some frames."""

    def __init__(self, **kept):
        self._kept, self.limits = kept, []

    def resumable_frames(self, _video, limit):
        self.limits.append(limit)
        return {name: min(frames, limit) for name, frames in self._kept.items()}


@pytest.mark.parametrize(
    ("chunks", "first", "kept", "limit", "frames"),
    [
        (2, 0, {"a.mp4": 99}, 21, 21),
        (2, 0, {"a.mp4": 99, "b.mkv": 7}, 21, 7),
        (2, 0, {}, 21, 21),
        (3, 0, {"a.mp4": 99}, 23, 23),  # the last frame is written again
        (1, 8, {"a.mp4": 99}, 1, 1),
        (1, 9, {"a.mp4": 99}, None, 0),
        (0, 0, {"a.mp4": 99}, None, 0),
    ],
)
def test_an_output_keeps_the_frames_of_saved_chunks(folder, chunks, first, kept, limit, frames):
    prepared = video(folder)
    prepared = SimpleNamespace(controls=prepared.controls, first_frame=first, frames=FRAMES - first)
    sink, display = Outputs(**kept), Display()
    assert count_resumable_frames(sink, None, SimpleNamespace(chunks=chunks), prepared, display) == frames
    assert sink.limits == ([] if limit is None else [limit])
    assert display.notes == []


def test_an_output_that_cannot_be_resumed_is_named(folder):
    sink, display = Outputs(a=99, b=0), Display()
    assert count_resumable_frames(sink, None, SimpleNamespace(chunks=1), video(folder), display) == 0
    assert display.notes == ["b cannot be resumed and is encoded again from its first frame"]
