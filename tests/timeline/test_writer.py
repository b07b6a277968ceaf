"""Written timelines, equal when read again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingbot_cli.errors import UsageError
from lingbot_cli.timeline.diagnostics import SourceText
from lingbot_cli.timeline.load import parse_timeline
from lingbot_cli.timeline.schema import EVENT_TYPES
from lingbot_cli.timeline.writer import check_file_names, to_jsonl, to_text, to_yaml

words = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12)
times = st.one_of(st.integers(0, 999), st.sampled_from(["2s", "500ms", "32f", "3c", "1:30.5", "01:02:03"]))
spans = st.fixed_dictionaries({"for": times}, optional={"at": times, "note": words})
eased = st.fixed_dictionaries({"until": times}, optional={"ease": st.sampled_from(["in", "in-out"])})
numbers = st.floats(-100, 100, allow_nan=False)
events = st.one_of(
    st.builds(lambda keys, rest: {"keys": keys, **rest}, st.text("wasdijklqe", max_size=5), spans),
    st.builds(lambda n, rest: {"turn": {"yaw": n}, **rest}, numbers, eased),
    st.builds(lambda n, rest: {"move": {"up": n, "right": 1}, **rest}, numbers, eased),
    st.builds(lambda text, on: {"prompt": text, "recache": on}, words, st.booleans()),
    st.builds(lambda text, rest: {"action": text, **rest}, words, spans),
    st.builds(lambda text: {"marker": text}, words),
    st.builds(lambda t: {"wait": t}, times),
    st.builds(lambda rest: {"wait": True, **rest}, spans),
    st.builds(lambda text: {"cut": text}, words),
    st.builds(lambda text: {"poses": text, "intrinsics": text}, words),
)


@pytest.mark.parametrize(("write", "name"), [(to_yaml, "t.yaml"), (to_jsonl, "t.jsonl")])
@given(said=st.lists(events, max_size=5), prompt=words)
def test_round_trip(write, name, said, prompt):
    import json

    rows = [{"timeline": 1, "prompt": prompt, "camera": {"fov": 60}}, *said]
    timeline = parse_timeline(SourceText("t.jsonl", "".join(json.dumps(row) + "\n" for row in rows)))
    assert timeline.problems == ()
    again = parse_timeline(SourceText(name, write(timeline)))
    assert again.problems == ()
    assert again.header == timeline.header
    assert [s.event for s in again.events] == [s.event for s in timeline.events]


def test_every_kind_is_written_first():
    timeline = parse_timeline(
        SourceText("t.jsonl", '{"at": 1, "for": 2, "keys": "w"}\n{"note": "x", "wait": 2}\n')
    )
    lines = to_jsonl(timeline).splitlines()[1:]
    assert lines == ['{"keys": "w", "at": "1s", "for": "2s"}', '{"wait": "2s", "note": "x"}']
    assert all(line.split('"')[1] in EVENT_TYPES for line in lines)


def test_every_value_is_written_in_its_shortest_form():
    text = (
        "fps: 24\nevents:\n- {keys: w, for: 1.5s, ease: in}\n"
        "- {move: {forward: 2.0, up: 0.5}, until: 1:00}\n- {prompt: 'true', at: 0}\n"
        "- {poses: a.npy, scale: fixed}\n- {wait: 2f}\n- {follow: [{forward: 1, yaw: 90.0}], for: 1s}\n"
    )
    timeline = parse_timeline(SourceText("t.yaml", text))
    assert timeline.problems == ()
    assert to_yaml(timeline).splitlines() == [
        "timeline: 1",
        "fps: 24",
        "events:",
        "  - {keys: w, for: 1.5s, ease: in}",
        "  - {move: {forward: 2, up: 0.5}, until: 60s}",
        "  - {prompt: 'true', at: 0s}",
        "  - {poses: a.npy, scale: fixed}",
        "  - {wait: 2f}",
        "  - {follow: [{forward: 1, yaw: 90}], for: 1s}",
    ]
    empty = parse_timeline(SourceText("t.jsonl", '{"timeline": 1}'))
    assert to_yaml(empty) == "timeline: 1\nevents: []\n"


@pytest.mark.parametrize(
    ("scale", "written"), [("0.5", "0.5"), ("{fit: 1.0}", "{fit: 1}"), ("clip", "clip"), ("2.0", "2")]
)
def test_scales_are_written(scale, written):
    timeline = parse_timeline(SourceText("t.yaml", f"events: [{{poses: a.npy, scale: {scale}}}]"))
    assert to_yaml(timeline).splitlines()[-1] == f"  - {{poses: a.npy, scale: {written}}}"


@pytest.mark.parametrize(
    ("event", "written"),
    [
        ("wait: , until: 2s", "wait: true, until: 2s"),
        ("wait: , for: 2s", "wait: 2s"),
        ("prompt: Köln bei Nacht", "prompt: Köln bei Nacht"),
        ("prompt: '12'", "prompt: '12'"),
        (f"prompt: {'long ' * 40}end", f"prompt: {'long ' * 40}end"),
    ],
)
def test_events_are_written_on_one_line(event, written):
    timeline = parse_timeline(SourceText("t.yaml", f"events: [{{{event}}}]"))
    assert to_yaml(timeline).splitlines()[-1] == f"  - {{{written}}}"


def test_forms_of_text():
    timeline = parse_timeline(SourceText("t.yaml", "events: [{keys: w, for: 1s}]"))
    assert to_text(timeline, "yaml") == to_yaml(timeline)
    assert to_text(timeline, "jsonl") == to_jsonl(timeline)
    assert to_text(timeline, "moves") == "w-16\n"
    with pytest.raises(UsageError, match=r"t\.yaml cannot be written as moves"):
        to_text(parse_timeline(SourceText("t.yaml", "events: [{prompt: x}]")), "moves")


@pytest.mark.parametrize("event", ["poses: a.npy", "cut: a.png"])
def test_a_timeline_stays_beside_the_files_that_it_names(tmp_path, event):
    timeline = parse_timeline(SourceText("t.yaml", f"events: [{{wait: 1s}}, {{{event}}}]", tmp_path))
    check_file_names(timeline, tmp_path / "other.yaml")
    with pytest.raises(UsageError, match="names files beside it"):
        check_file_names(timeline, tmp_path / "below" / "other.yaml")
    plain = parse_timeline(SourceText("t.yaml", "events: [{wait: 1s}]", tmp_path))
    check_file_names(plain, tmp_path / "below" / "other.yaml")
