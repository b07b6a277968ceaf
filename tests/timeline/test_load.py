"""Loading: events with their locations, and all problems at once."""

import os
import sys
import threading
from pathlib import Path

import pytest

from lingbot_cli.errors import UsageError
from lingbot_cli.timeline import load
from lingbot_cli.timeline.diagnostics import TimelineError
from lingbot_cli.timeline.load import MAX_BYTES, load_timeline
from tests.support.timelines import find_problems, parse_valid

YAML = """\
timeline: 1
fsp: 12
events:
  - keys: wx
    fro: 2s
  - turn: {yaw: 90, pich: 2}
    for: -1.5s
  - {keys: w, prompt: x}
  - *foo
  - {at: 4s, turn: {}, for: 1s}
  - wait
  - {keys: w, for: 1s, until: 2s}
  - {move: {forward: .nan}, for: 1s}
  - prompt: 12
  - {prompt: rain, for: 2s}
  - {kyes: w, for: 1s}
  - {for: 1s}
  - {keys: w, for: 1s, keys: s}
"""


def test_all_errors_at_once_with_their_locations():
    said = [(p.location.line, p.location.column, p.message.split(";")[0]) for p in find_problems(YAML)]
    assert said == [
        (2, 1, "unknown key 'fsp'"),
        (4, 11, "`keys`: unknown key letter 'x'"),
        (5, 5, "unknown key 'fro'"),
        (6, 21, "unknown key 'pich'"),
        (7, 10, "`for`: a time cannot be negative ('-1.5s')"),
        (8, 15, "two kinds in one event: keys and prompt"),
        (9, 5, "aliases are not allowed"),
        (10, 20, "`turn`: empty"),
        (11, 5, "no span"),
        (12, 31, "`until`: both `for` and `until`"),
        (13, 22, "`move.forward` is not a number"),
        (14, 13, "`prompt` is not text"),
        (15, 20, "`for` does not go with `prompt`"),
        (16, 6, "unknown key 'kyes'"),
        (17, 5, "no kind of event"),
        (18, 24, "duplicate key 'keys'"),
    ]


def test_the_nearest_known_key_is_named():
    messages = "\n".join(p.message for p in find_problems(YAML))
    for near in ("expected 'fps'", "expected 'for'", "expected 'pitch'", "expected 'keys'"):
        assert near in messages


@pytest.mark.parametrize(
    ("line", "column", "message"),
    [
        ('{"keys": "wx", "for": 2}', 10, "unknown key letter 'x'"),
        ('{"keys": "w", "fro": 2}', 15, "unknown key 'fro'"),
        ('{"turn": {"yaw": NaN}, "for": 1}', 18, "not a finite number"),
        ('{"turn": {"yaw": "90"}, "for": 1}', 18, "not a number"),
        ('{"keys": "w", "keys": "s", "for": 1}', 1, "duplicate key"),
        ('{"keys"', 8, "not JSON"),
        ("[[1]]", 1, "not an event"),
        ('{"keys": \'"\'}', 10, "not JSON"),
        ('{"at": 1' + "0" * 5000 + ', "wait": 1}', 1, "too long"),
        ("[" * 60000, *((1, "nested too deeply") if sys.version_info < (3, 14) else (60001, "not JSON"))),
        ('  {"note": "only"}', 3, "no kind of event"),
    ],
)
def test_jsonl(line, column, message):
    (problem, *_) = find_problems('{"timeline": 1}\n\n' + line + "\n", "t.jsonl")
    assert (problem.location.line, problem.location.column) == (3, column)
    assert message in problem.message


def test_the_line_is_shown_with_a_caret():
    with pytest.raises(TimelineError) as caught:
        raise TimelineError(
            parse_valid("events: [{wait: 1s}]").source, find_problems("events: [{wait: 1s, fro: 2}]")
        )
    assert str(caught.value).splitlines()[1:] == [
        "t.yaml:1:21: unknown key 'fro'; expected 'for'",
        "  1 | events: [{wait: 1s}]",
        "    |                     ^",
    ]


def test_events_before_a_syntax_error_are_checked_too():
    problems = find_problems("events:\n  - {keys: x, for: 1s}\n  - {keys: y, for: 1s}\n  - turn: [")
    assert [p.location.line for p in problems] == [2, 3, 4]


def test_strings_stay_strings():
    timeline = parse_valid("events:\n  - {wait: 1:30}\n  - prompt: on\n  - prompt: no\n")
    assert [getattr(s.event, "prompt", None) for s in timeline.events] == [None, "on", "no"]


@pytest.mark.parametrize(
    "text",
    [
        "a: &x 1\nevents: []",
        "events: !!python/object/apply:os.system [echo]",
        "events: [{prompt: !!str x}]",
        "? [a, b]\n: c\nevents: []",
        "events: []\n---\nevents: []",
        "events: " + "[" * 10_000,
        "- {prompt: a, <<: {at: 1s}}",
        "",
        "just words",
        "events: 3",
        "prompt: x",
        "events:\n\t- wait",
        "events: [{prompt: 'a\x07b'}]",
        "events: [{at: 111111111111111111111111111111111111111111, wait: 1s}]",
    ],
)
def test_hostile_or_empty_yaml_has_a_location(text):
    problems = find_problems(text)
    assert problems
    assert all(
        p.location.line >= 1 and p.location.column >= 1 and "; expected" in p.message for p in problems
    )


def test_an_invalid_wait_is_reported_as_wait():
    (problem,) = find_problems("events:\n  - {wait: 1x}\n")
    assert (problem.location.line, problem.location.column) == (2, 12)
    assert problem.message.startswith("`wait`: '1x' is not a time")


def test_another_format_in_place_of_json_lines_is_one_error():
    (problem,) = find_problems("events:\n  - keys: w\n    for: 1s\n", "<stdin>")
    assert "not JSON" in problem.message
    assert "timeline convert" in problem.message


def test_bad_utf8_names_the_byte(tmp_path):
    file = tmp_path / "t.yaml"
    file.write_bytes(b"events:\n  - prompt: caf\xe9\n")
    with pytest.raises(TimelineError, match=r"t.yaml:2:16: the byte 0xe9"):
        load_timeline(str(file))


def test_too_large(tmp_path):
    file = tmp_path / "t.jsonl"
    file.write_bytes(b" " * (5 << 20))
    with pytest.raises(TimelineError, match="too large"):
        load_timeline(str(file))


def test_standard_input_is_read_up_to_the_size_limit():
    asked: list[int] = []

    def endless(most: int) -> bytes:
        asked.append(most)
        return b"x" * most

    with pytest.raises(TimelineError, match="too large"):
        load_timeline("-", endless)
    assert asked == [MAX_BYTES + 1]


def test_a_file_of_the_largest_size_is_read(tmp_path):
    assert MAX_BYTES == 4 * 2**20  # as docs/timeline.md has it
    (tmp_path / "t.jsonl").write_bytes(b'{"wait": 1}'.ljust(64) + b"\n" * (MAX_BYTES - 64))
    assert len(load_timeline(str(tmp_path / "t.jsonl")).events) == 1
    with (tmp_path / "t.jsonl").open("ab") as file:
        file.write(b"\n")
    with pytest.raises(TimelineError, match="too large; expected at most 4 MiB"):
        load_timeline(str(tmp_path / "t.jsonl"))


def test_files_are_named_beside_the_timeline_or_where_a_pipe_is_read(tmp_path, monkeypatch):
    (tmp_path / "t.yaml").write_text("events: []")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert load.read_source(str(tmp_path / "t.yaml")).folder == tmp_path
    assert load.read_source("../t.yaml").folder == Path("..")
    assert load.read_source("-", lambda _most: b"").folder == tmp_path / "here"
    assert load.read_source("/dev/null").folder == tmp_path / "here"


def test_json_lines_have_a_largest_number(monkeypatch):
    assert load.MAX_LINES == 50_000
    monkeypatch.setattr(load, "MAX_LINES", 3)
    line = '{"wait": 1}\n'
    assert len(parse_valid('{"timeline": 1}\n\n' + line * 2, "t.jsonl").events) == 2
    (problem,) = find_problems(line * 3 + "\n" + line * 2, "t.jsonl")
    assert problem.message == "too many lines; expected at most 3"
    assert problem.location.line == 5


def test_a_header_is_the_first_line():
    (problem,) = find_problems('{"wait": 1}\n{"timeline": 1}\n', "t.jsonl")
    assert (tuple(problem.location), problem.message.partition(";")[0]) == (
        (2, 2, 10),
        "a header in the middle",
    )
    assert parse_valid('\n{"timeline": 1, "fps": 24}\n{"wait": 1}\n', "t.jsonl").header.fps == 24


@pytest.mark.parametrize("text", ["fps: 24", "events: 3", "", "- {keys: w, for: 1s}\n- 1"])
def test_a_yaml_timeline_has_a_list_of_events(text):
    messages = [each.message.partition(";")[0] for each in find_problems(text)]
    expected = "not an event" if text.startswith("-") else "no list of events"
    assert messages == [expected]


def test_without_events_a_syntax_error_is_the_only_problem():
    (problem,) = find_problems("fps: 24\nprompt: 'x")
    assert problem.message.startswith("not YAML")


def test_a_missing_file_and_an_unknown_suffix(tmp_path):
    with pytest.raises(UsageError, match="cannot be read: no such file"):
        load_timeline(str(tmp_path / "no.yaml"))
    (tmp_path / "t.txt").write_text("")
    with pytest.raises(UsageError, match="unknown kind"):
        load_timeline(str(tmp_path / "t.txt"))


def test_standard_input_is_jsonl():
    timeline = load_timeline(
        "-", lambda _most: b'{"timeline": 1, "prompt": "dusk"}\n{"keys": "w", "for": 2}\n'
    )
    assert timeline.header.prompt == "dusk"
    assert len(timeline.events) == 1


@pytest.mark.parametrize("form", ["wait: 2s", "{wait: , for: 2s}", "{wait: true, until: 2s}", "{wait: 2}"])
def test_forms_of_wait(form):
    assert find_problems(f"events:\n  - {form}\n") == []


@pytest.mark.parametrize(
    "text", ["events:\n  - {keys: w, for: 1s}\n", '{"timeline": 1}\n{"keys": "w", "for": 1}\n']
)
def test_a_pipe_is_read_once_whichever_form_it_holds(tmp_path, text):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(text,))
    writer.start()
    assert len(load_timeline(str(pipe)).events) == 1
    writer.join(30)
    with (tmp_path / "t.txt").open("w+") as file:
        file.write(text)
        file.seek(0)
        assert len(load_timeline(f"/dev/fd/{file.fileno()}").events) == 1
