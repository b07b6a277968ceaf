"""Fuzzed timelines, live events, jobs files and metadata: each problem has its place, and none is a crash."""

import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lingbot_cli.batch.tasks import read_tasks
from lingbot_cli.errors import UsageError
from lingbot_cli.sinks import ffmetadata
from lingbot_cli.timeline.diagnostics import SourceText, TimelineError
from lingbot_cli.timeline.live import LiveTimeline
from lingbot_cli.timeline.resolve import resolve_timeline
from tests.fuzzing.strategies import faulty, fuzzed, fuzzed_slowly, json_values, misspelt
from tests.support.command import lingbot

ROOT = Path(__file__).parents[2]
TIMELINES = sorted([*ROOT.glob("recipes/*.yaml"), *ROOT.glob("recipes/*.jsonl")])


def check_problems(error, text):
    """Assert that every problem lies in the text."""
    if isinstance(error, TimelineError):
        assert error.problems
        for problem in error.problems:
            assert 1 <= problem.location.line <= len(text.splitlines()) + 1
            assert problem.location.column >= 1


def resolve(**source):
    """Resolve a camera source; only UsageErrors pass, with their places in the text."""
    try:
        resolved = resolve_timeline(3, **source)
    except UsageError as error:
        return error
    assert np.isfinite(resolved.compiled.poses).all()
    return None


@fuzzed
@given(
    st.sampled_from(TIMELINES).flatmap(
        lambda file: st.tuples(st.just(file.suffix), misspelt(file.read_text()))
    )
)
def test_timelines(tmp_path, case):
    suffix, text = case
    written = tmp_path / f"timeline{suffix}"
    written.write_bytes(text.encode("utf-8", "surrogatepass"))
    check_problems(resolve(timeline=str(written)), text)


LINES = [
    json.loads(line)
    for file in TIMELINES
    if file.suffix == ".jsonl"
    for line in file.read_text().splitlines()
]
RAW_EVENTS = [
    *(line for line in LINES if "timeline" not in line),
    {"prompt": "it rains", "at": "1s"},
    {"turn": {"yaw": 90, "pitch": -5}, "for": "2s", "ease": "in-out"},
    {"keys": "wl", "until": "4s"},
    {"move": "orbit", "around": [0, 0, 4], "yaw": 30, "for": "2s"},
    {"action": "jump", "prompt": "it jumps", "for": "1s"},
    {"poses": "missing.npy", "scale": "path"},
    {"cut": {"image": "missing.png"}},
    {"wait": "1s"},
    {"end": None},
]


@fuzzed
@given(st.lists(st.sampled_from(RAW_EVENTS).flatmap(faulty) | json_values, min_size=1, max_size=4))
def test_live_events(tmp_path, events):
    live = LiveTimeline(3)
    for event in events:
        with suppress(TimelineError):
            live.apply_raw(event)
        control = live.next_control()
        if control is None:
            break
        assert np.isfinite(control.poses).all()
    recorded = tmp_path / "recorded.jsonl"
    recorded.write_text("\n".join(map(json.dumps, live.record())))
    assert resolve(timeline=str(recorded)) is None


@fuzzed
@given(
    faulty(
        {
            "timeline": 1,
            "fps": 16,
            "prompt": "a",
            "seed": 1,
            "size": "32x32",
            "camera": {"speed": 1, "fov": 60},
        }
    )
)
def test_headers_of_live_timelines(header):
    with suppress(TimelineError):
        assert np.isfinite(LiveTimeline(3, header).next_control().poses).all()


@fuzzed
@given(misspelt("w-10,iw-15,none-10,wdl-3"))
@example("w-000000001" + "0" * 500)
def test_moves(text):
    check_problems(resolve(moves=text), text)


JOBS = """defaults: {image: samples/courtyard-day.png, timeline: recipes/first-walk.yaml, duration: 1s}
jobs:
  - {seeds: 1..2, output: "walk-{seed}.mp4"}
  - prompts: [a courtyard, "rain, at dusk"]
    moves: w-10
    size: 64x64
    note: second
"""
JOB_LINES = """{"defaults": {"image": "samples/courtyard-day.png", "moves": "w-10"}}
{"seeds": "1..2", "output": "walk-{seed}.mp4", "crf": 20, "quality": "draft"}
{"seed": 4, "scale": "path", "window": 12}
"""


@fuzzed
@given(
    st.tuples(st.just("jobs.yaml"), misspelt(JOBS)) | st.tuples(st.just("jobs.jsonl"), misspelt(JOB_LINES))
)
def test_jobs(case):
    name, text = case
    try:
        tasks = read_tasks(SourceText(name, text, ROOT))
    except TimelineError as error:
        check_problems(error, text)
    else:
        for task in tasks:
            assert not Path(task.name).is_absolute()
            assert ".." not in Path(task.name).parts


@pytest.fixture(scope="module")
def metadata(tmp_path_factory):
    """Return the metadata of a rendered video."""
    video = tmp_path_factory.mktemp("video") / "walk.mp4"
    walk = (
        "render",
        str(ROOT / "samples/courtyard-day.png"),
        "--timeline",
        str(ROOT / "recipes/first-walk.yaml"),
    )
    assert lingbot(*walk, "--duration", "1f", "--size", "32x32", "-o", str(video), "--quiet").code == 0
    return json.loads(lingbot("show", str(video), "--json").stdout)


def shown(monkeypatch, folder, text):
    """Show this metadata in every form; only clear errors pass."""
    monkeypatch.setattr(ffmetadata, "read_tags", lambda *_given: {"lingbot": text})
    for options in ((), ("--timeline", str(folder / "t.yaml"), "--overwrite"), ("--json",)):
        done = lingbot("show", str(folder / "walk.mp4"), *options)
        assert done.code in (0, 2), done.stderr
        assert "bug" not in done.stderr


@fuzzed_slowly
@given(st.data())
def test_metadata(monkeypatch, tmp_path, metadata, data):
    text = json.dumps(data.draw(faulty(metadata)))
    shown(monkeypatch, tmp_path, data.draw(misspelt(text) | st.just(text)))


@pytest.mark.parametrize(
    "fault",
    [
        {"camera": {"scale": 1.0, "scale_rule": "fixed", "steps": {"largest": 1.0}, "paths": []}},
        {"camera": []},
        {"flags": {"timeline": None}},
        {"flags": {"seed": [1]}},
    ],
)
def test_metadata_with_a_part_of_another_type(monkeypatch, tmp_path, metadata, fault):
    shown(monkeypatch, tmp_path, json.dumps(metadata | fault))
