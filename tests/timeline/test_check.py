"""Check of a timeline: facts, errors, and warnings about events without effect."""

import numpy as np
import pytest
from PIL import Image

from lingbot_cli.timeline.check import check_timeline, find_warnings
from lingbot_cli.timeline.poses_dir import write_poses_dir
from lingbot_cli.timeline.times import parse_time
from tests.support.timelines import compile_text, schedule_text


def check(folder, text, **options):
    file = folder / "t.yaml"
    file.write_text(text)
    return check_timeline(str(file), lambda _: b"", 4, **{"allow_outside": False, **options})


def test_a_good_timeline_is_summed_up(tmp_path):
    facts, errors, lines = check(tmp_path, "fps: 24\nevents: [{keys: w, for: 2s}, {prompt: rain}]")
    assert errors == 0
    assert facts["errors"] == []
    assert len(facts["notes"]) == len(lines) - 1 == 1  # the prompt comes after the last chunk's start
    assert [facts[name] for name in ("events", "frames", "fps", "seconds", "chunks")] == [2, 48, 24, 2, 4]
    assert lines[0] == f"{tmp_path}/t.yaml: good, 2 events, 2s, 48 frames at 24 fps, 4 chunks"


def test_every_error_is_counted(tmp_path):
    facts, errors, lines = check(tmp_path, "events: [{keys: x, for: 1s}, {jump: 1}]")
    assert errors == len(facts["errors"]) == len(lines) == 2
    assert facts["errors"][0]["line"] == 1
    assert lines[0].startswith(f"{tmp_path}/t.yaml:1:")


def test_a_file_that_cannot_be_read_is_one_error(tmp_path):
    facts, errors, (line,) = check_timeline(
        str(tmp_path / "gone.yaml"), lambda _: b"", 4, allow_outside=False
    )
    assert errors == 1
    assert facts["errors"][0]["message"] in line
    assert "; " in line  # with the way out


def test_files_outside_are_errors_unless_allowed(tmp_path):
    np.save(tmp_path / "path.npy", np.stack([np.eye(4)] * 5))
    (tmp_path / "t").mkdir()
    text = "events: [{poses: ../path.npy}, {wait: 1s}]"
    assert check(tmp_path / "t", text)[1] == 1
    assert check(tmp_path / "t", text, allow_outside=True)[1] == 0


def warnings(text, **options):
    return [(each.location.line, each.message) for each in find_warnings(schedule_text(text, **options))]


@pytest.mark.parametrize("event", ["prompt: rain", "action: rain, for: 1f", "cut: a.png"])
def test_what_begins_after_the_last_chunk_has_no_effect(tmp_path, monkeypatch, event):
    # Chunks begin at frames 0, 13 and 29.
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (16, 16)).save("a.png")
    head = "events:\n- {keys: w, for: 40f}\n- {"
    assert warnings(f"{head}{event}, at: 29f}}") == []
    ((line, message),) = warnings(f"{head}{event}, at: 30f}}")
    assert (line, "the last chunk starts at frame" in message) == (3, True)
    assert message.endswith("before frame 30; it has no effect")


def test_what_begins_at_the_end_has_no_effect():
    head = "duration: 40f\nevents:\n- {keys: w, for: 40f}\n"
    assert warnings(head + "- {marker: a, at: 39f}") == []
    assert warnings(head + "- {keys: d, for: 1f, at: 39f}") == []
    late = "events:\n- {keys: w, for: 40f}\n- {keys: d, for: 1f, at: 40f}"
    for frames in (39, 40):
        expected = f"begins at frame 40, and the video ends at {frames}; it has no effect"
        assert warnings(late, duration=parse_time(f"{frames}f")) == [(3, expected)]
    assert warnings(late) == []
    ((line, message),) = warnings("events:\n- {keys: w, for: 40f}\n- {marker: a, at: 40f}")
    assert (line, message) == (3, "marks the end of the video; the chapter is empty")


def test_the_rate_of_a_camera_file_is_noted(tmp_path):
    write_poses_dir(compile_text("fps: 24\nevents: [{keys: w, for: 1s}]"), tmp_path / "path")
    noted = "events:\n- {poses: path}"
    for text, count in ((noted, 1), (f"fps: 24\n{noted}", 0), ("events:\n- {poses: path, fps: 24}", 0)):
        _, errors, lines = check(tmp_path, text)
        assert errors == 0
        found = [
            line for line in lines if "written at 24 fps, a row a frame; `fps: 24` keeps its speed" in line
        ]
        assert len(found) == count, text
