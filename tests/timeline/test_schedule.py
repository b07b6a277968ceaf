"""Events on their frames."""

import numpy as np
import pytest
from PIL import Image

from lingbot_cli.timeline.times import parse_time
from tests.support.timelines import find_problems, parse_valid, schedule_text


def spans(text, **options):
    return [(s.start, s.end) for s in schedule_text(text, **options).events]


def test_relative_and_absolute_times():
    text = """
events:
  - {keys: w, for: 2s}
  - prompt: rain
  - {keys: s, until: 5s}
  - {at: 1s, turn: {yaw: 9}, for: 1s}
  - {wait: 500ms}
"""
    assert spans(text) == [(0, 32), (32, 32), (32, 80), (16, 32), (32, 40)]
    assert schedule_text(text).frames == 80


def test_duration_is_exact_and_flags_win():
    text = "duration: 3s\nfps: 10\nevents:\n  - {keys: w, for: 2s}\n"
    assert schedule_text(text).frames == 30
    assert schedule_text(text, fps=20).frames == 60
    assert schedule_text(text, duration=parse_time("1s")).frames == 10


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("duration: 2s\nevents: [{keys: w, for: 3s}]", "ends at 3s (frame 48), past"),
        ("duration: 2s\nevents: [{at: 2s, prompt: x}]", "begins at 2s (frame 32), past"),
        ("duration: 0\nevents: []", "`duration` is 0 frames"),
        ("events: [{at: 3s, keys: w, until: 2s}]", "before it begins"),
        ("events: [{keys: w, for: 0}]", "no whole frame"),
        ("events: [{keys: w, for: 20ms}]", "no whole frame"),
        ("events: [{keys: w, for: 100000s}]", "expected a video of at most"),
        ("events: [{prompt: x}]", "no length"),
        ("events: []", "no length"),
        ("events: [{poses: gone.npy}]", "gone.npy does not exist"),
        ("events: [{poses: ../up.npy}]", "outside"),
        ("events: [{poses: /etc/passwd}]", "outside"),
        ("events: [{cut: text.png}]", "not an image"),
        ("events: [{cut: half.jpg}]", "not an image"),
        ("events: [{turn: {pitch: 200}, for: 1s}]", "at most 170"),
        ("events: [{poses: text.png}]", "not numbers"),
        ("events: [{poses: flat.npy}]", "shape [5, 3]"),
        ("events: [{poses: nan.npy}]", "not finite"),
        ("events: [{poses: skew.npy}]", "row 1: not a pose"),
        ("events: [{poses: objects.npy}]", "not a NumPy file"),
        ("events: [{poses: several.npy}]", "arrays a, b"),
        ("events: [{poses: cut.npy}]", "not a NumPy file"),
        ("events: [{poses: deep.npy}]", "not a NumPy file"),
        ("events: [{poses: ok.npy, intrinsics: flat.npy}]", "shape [5, 3]"),
        ("events: [{poses: ok.npy, intrinsics: three.npy}]", "shape [3, 4]; expected [4] or [2, 4]"),
    ],
)
def test_invalid_spans_and_files(tmp_path, text, message):
    folder = tmp_path / "films"
    folder.mkdir()
    two = np.stack([np.eye(4)] * 2)
    np.save(tmp_path / "up.npy", two)
    (folder / "text.png").write_text("no picture")
    Image.effect_noise((64, 64), 90).save(folder / "whole.jpg")
    (folder / "half.jpg").write_bytes((folder / "whole.jpg").read_bytes()[:900])
    for name, array in {
        "ok": two,
        "flat": np.zeros((5, 3)),
        "nan": two * np.nan,
        "skew": two * np.array([1, 2]).reshape(2, 1, 1),
        "objects": np.array([{}], object),
        "three": np.ones((3, 4)),
    }.items():
        np.save(folder / f"{name}.npy", array)
    np.savez(folder / "a.npz", a=two, b=two)
    (folder / "a.npz").rename(folder / "several.npy")
    (folder / "cut.npy").write_bytes((folder / "several.npy").read_bytes()[:60])
    header = ("{'descr': '<f8', 'fortran_order': False, 'shape': " + "-" * 8000 + "1}").ljust(9000).encode()
    (folder / "deep.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    problems = find_problems(text, folder=folder)
    assert message in problems[0].message
    assert "; expected" in problems[0].message


def test_files_are_found_beside_the_timeline(tmp_path):
    np.save(tmp_path / "path.npy", np.stack([np.eye(4)] * 5))
    Image.new("RGB", (16, 16)).save(tmp_path / "next.png")
    assert find_problems("events: [{poses: path.npy}, {cut: next.png}]", folder=tmp_path) == []


def test_a_link_out_of_the_folder_is_outside(tmp_path):
    (tmp_path / "films").mkdir()
    np.save(tmp_path / "up.npy", np.stack([np.eye(4)] * 2))
    (tmp_path / "films" / "link.npy").symlink_to(tmp_path / "up.npy")
    assert "outside" in find_problems("events: [{poses: link.npy}]", folder=tmp_path / "films")[0].message


def test_notes_are_ignored():
    assert len(parse_valid("events: [{wait: 1s, note: 'x'}]").events) == 1


@pytest.mark.parametrize(
    ("rows", "rate", "frames"), [(1, None, 1), (2, None, 2), (1, 24, 1), (2, 4, 4), (3, 4, 8), (31, 30, 16)]
)
def test_the_length_of_a_camera_file(tmp_path, monkeypatch, rows, rate, frames):
    monkeypatch.chdir(tmp_path)
    poses = np.tile(np.eye(4), (rows, 1, 1))
    poses[:, 2, 3] = np.arange(rows) / 10
    np.save("path.npy", poses)
    fps = f", fps: {rate}" if rate else ""
    assert spans(f"events: [{{poses: path.npy{fps}}}]") == [(0, frames)]
