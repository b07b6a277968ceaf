"""Jobs files: tasks, and every error at once with its line."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lingbot_cli.batch import jobs
from lingbot_cli.batch.manifest import Manifest
from lingbot_cli.batch.report import _table
from lingbot_cli.batch.run import check_outputs, select_shard
from lingbot_cli.batch.tasks import read_tasks, slug
from lingbot_cli.errors import UsageError
from lingbot_cli.sample_files import PACKAGE
from lingbot_cli.timeline.diagnostics import TimelineError
from lingbot_cli.timeline.load import read_source
from lingbot_cli.timeline.resolve import resolve_timeline


@pytest.fixture
def write(tmp_path):
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    (tmp_path / "walk.yaml").write_text("- {keys: w, for: 1s}\n")

    def write(text, name="jobs.yaml"):
        (tmp_path / name).write_text(text)
        return read_source(str(tmp_path / name))

    return write


def test_defaults_seeds_and_prompts_make_a_task_each(write):
    tasks = read_tasks(
        write(
            """
defaults: {image: a.png, timeline: walk.yaml, prompts: [Day, "At night!"], quality: draft}
jobs:
  - {seeds: 1..2}
  - {moves: w-5, prompt: rain, seed: 7, output: "{timeline}/{prompt}-{seed}-{job}.mkv", fps: 8}
  - {seeds: [9], prompt: rain, output: "{image}/%05d.png"}
"""
        )
    )
    assert [task.name for task in tasks] == [
        *("a-day-1.mp4", "a-day-2.mp4", "a-at-night-1.mp4", "a-at-night-2.mp4"),
        *("moves/rain-7-2.mkv", "a/%05d.png"),
    ]
    first, other = tasks[0], tasks[4]
    assert (first.request.seed, first.request.overrides.prompt, first.options.quality) == (1, "Day", "draft")
    assert Path(first.request.timeline).name == "walk.yaml"
    assert (other.request.timeline, other.request.moves, other.request.overrides.fps) == (None, "w-5", 8)


def test_jsonl_gives_the_same(write):
    text = '{"defaults": {"image": "a.png", "moves": "w-5"}}\n\n{"seeds": "3..4"}\n{"output": "b.gif"}\n'
    assert [task.name for task in read_tasks(write(text, "jobs.jsonl"))] == ["a-3.mp4", "a-4.mp4", "b.gif"]


def test_samples_are_found_in_every_folder(write, tmp_path):
    text = "jobs: [{image: samples/courtyard-day.png, timeline: recipes/first-walk.yaml}]"
    (task,) = read_tasks(write(text))
    assert (task.request.image, task.request.timeline) == (
        PACKAGE / "samples" / "courtyard-day.png",
        str(PACKAGE / "recipes" / "first-walk.yaml"),
    )
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "courtyard-day.png").write_bytes((tmp_path / "a.png").read_bytes())
    assert read_tasks(write(text))[0].request.image == tmp_path / "samples" / "courtyard-day.png"
    with pytest.raises(TimelineError, match="outside"):
        read_tasks(write("jobs: [{image: samples/../../a.png, moves: w-5}]"))


def test_the_last_table_has_columns_that_differ():
    rows = [("a-1.mp4", "rendered", "16", "1.5 s", ""), ("a-2.mp4", "rendered", "16", "1.7 s", "")]
    headings = ("video", "status", "frames", "time", "message")
    table = _table("2 videos", headings, rows, first=1)
    assert [column.header for column in table.columns] == ["video", "time"]
    assert table.title == "2 videos\nall: frames 16"
    alone = _table("1 video", headings, rows[:1], first=1)
    assert [column.header for column in alone.columns] == ["video", "status", "frames", "time"]


def test_cameras_of_other_tools(write, tmp_path):
    poses = np.tile(np.eye(4), (31, 1, 1))
    poses[:, 2, 3] = np.arange(31) * -0.05
    np.save(tmp_path / "gl.npy", poses)
    job = "{image: a.png, poses: gl.npy, convention: opengl, poses_fps: 30, scale: {fit: 1}}"
    (task,) = read_tasks(write(f"- {job}"))
    made = resolve_timeline(4, poses=task.request.poses, overrides=task.request.overrides).compiled
    assert (made.frames, made.paths[0].scale_rule) == (16, "fit:1")
    assert made.poses[15, 2, 3] > 0
    with pytest.raises(TimelineError) as wrong:
        read_tasks(write("- {image: a.png, timeline: walk.yaml, matrix: w2c}"))
    assert "`matrix` needs `poses`" in wrong.value.problems[0].message


def test_a_list_alone_is_a_jobs_file(write):
    assert [task.name for task in read_tasks(write("- {image: a.png, moves: w-5}"))] == ["a.mp4"]


WRONG = """
defaults: {image: a.png, moves: w-5}
more: 1
jobs:
  - {sed: 1}
  - {seed: 1, seeds: 1..3}
  - {seeds: 8..1}
  - {image: none.png, size: 33x32}
  - {image: ../a.png}
  - {output: "../x.mp4"}
  - {output: "{seed}.mp4"}
  - {output: x.avi}
  - {seeds: 1..2, output: same.mp4}
  - {codec: vp9}
  - 5
  - {timeline: walk.yaml, poses: b}
"""
PROBLEMS = [
    (3, "unknown key 'more'"),
    (5, "unknown key 'sed'; expected 'seed'"),
    (6, "both `seed` and `seeds`"),
    (7, "not seeds; expected a range such as 1..8"),
    (8, "none.png does not exist"),
    (8, "33x32"),
    (9, "outside the jobs file's folder"),
    (10, "outside the output folder"),
    (11, "unknown field {seed}"),
    (12, "unknown file extension"),
    (13, "same.mp4 is the output of line 13 too; expected {seed} in it"),
    (14, "not supported in"),
    (15, "not a job"),
    (16, "both `timeline` and `poses`"),
]


def test_every_error_is_reported_at_once_with_its_line(write):
    with pytest.raises(TimelineError) as wrong:
        read_tasks(write(WRONG))
    found = [(problem.location.line, problem.message) for problem in wrong.value.problems]
    for line, text in PROBLEMS:
        assert any(at == line and text in message for at, message in found), (line, text, found)


PATH_KEYS = ("image", "timeline", "poses", "intrinsics", "decoder", "text_encoder", "lora")


@pytest.mark.parametrize("key", PATH_KEYS)
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../a.png", "outside the jobs file's folder"),
        ("none", "none does not exist"),
        ("a\0b", r"'a\x00b' is no path"),
        ("a" * 5000, "a" * 40),
    ],
)
def test_every_path_is_checked(write, key, name, reason):
    moves = {} if key in ("timeline", "poses", "intrinsics") else {"moves": "w-5"}
    poses = {"poses": "walk.yaml"} if key == "intrinsics" else {}
    job = {"image": "a.png", **moves, **poses, key: [name] if key == "lora" else name}
    with pytest.raises(TimelineError) as wrong:
        read_tasks(write(json.dumps([job])))
    assert any(reason in problem.message for problem in wrong.value.problems)


@pytest.mark.parametrize("key", ["image", "timeline", "text_encoder"])
def test_the_name_of_a_decoder_is_a_file_elsewhere(write, key):
    job = {"image": "a.png", **({} if key == "timeline" else {"moves": "w-5"}), key: "lightvae"}
    with pytest.raises(TimelineError) as wrong:
        read_tasks(write(json.dumps([job])))
    assert "lightvae does not exist" in wrong.value.problems[0].message
    (task,) = read_tasks(write("- {image: a.png, moves: w-5, decoder: lightvae}"))
    assert task.request.options.decoder == "lightvae"


def test_a_lora_of_another_folder_is_refused_with_a_strength_too(write, tmp_path):
    folder = tmp_path / "jobs"
    folder.mkdir()
    (tmp_path / "a.safetensors").touch()
    (folder / "link.safetensors").symlink_to(tmp_path / "a.safetensors")
    source = write("- {image: ../a.png, moves: w-5, lora: ['link.safetensors:0.8']}", "jobs/jobs.yaml")
    with pytest.raises(TimelineError) as wrong:
        read_tasks(source)
    assert "link.safetensors:0.8 lies outside" in str([each.message for each in wrong.value.problems])
    (task,) = read_tasks(source, allow_outside=True)
    assert task.request.options.lora == (f"{folder}/link.safetensors:0.8",)


def test_a_text_encoder_is_found_beside_the_jobs_file(write, tmp_path):
    (tmp_path / "text.pth").touch()
    (task,) = read_tasks(write("- {image: a.png, moves: w-5, text_encoder: text.pth}"))
    assert task.request.options.text_encoder == tmp_path / "text.pth"


@pytest.mark.parametrize("text", ["", "jobs: 3", "jobs: []", "&a [*a]", "jobs: [", "5"])
def test_a_file_that_is_no_jobs_file_is_refused(write, text):
    with pytest.raises(UsageError):
        read_tasks(write(text))


def test_shards_are_disjoint_and_whole():
    tasks = list(range(11))
    parts = [select_shard(tasks, f"{index}/4") for index in range(1, 5)]
    assert sorted(each for part_ in parts for each in part_) == tasks
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    for wrong in ("0/4", "5/4", "x", "1", "1/0"):
        with pytest.raises(UsageError, match="--shard"):
            select_shard(tasks, wrong)


def test_slug():
    assert slug("At NIGHT, it rains…") == "at-night-it-rains"
    assert slug("…") == "none"
    assert len(slug("word " * 40)) <= 40


@pytest.mark.parametrize(
    ("names", "error"),
    [
        (("x.mp4", "./x.mp4"), "x.mp4 is the output of line 1 too; expected another name"),
        (("a/x.mp4", "a//x.mp4"), "a/x.mp4 is the output of line 1 too"),
        (("x.mp4", "x.partial.mp4"), "a name for videos that are not complete yet"),
        (("n" * 300 + ".mp4",), "no file name; expected at most 255 bytes"),
        (("a\0b.mp4",), "no file name"),
    ],
)
def test_outputs_that_are_one_file_or_none_are_errors(write, names, error):
    lines = [json.dumps({"image": "a.png", "moves": "w-5", "output": name}) for name in names]
    with pytest.raises(TimelineError, match=error):
        read_tasks(write("\n".join(lines), "jobs.jsonl"))


def test_outputs_that_are_one_file_by_a_link_or_a_pipe_are_refused(write, tmp_path):
    lines = [f'{{"image": "a.png", "moves": "w-5", "output": "{name}.mp4"}}' for name in "xy"]
    tasks = read_tasks(write("\n".join(lines), "jobs.jsonl"))
    check_outputs(tasks, Manifest(tmp_path))
    (tmp_path / "y.mp4").symlink_to("x.mp4")
    with pytest.raises(UsageError, match="the same place"):
        check_outputs(tasks, Manifest(tmp_path))
    (tmp_path / "y.mp4").unlink()
    os.mkfifo(tmp_path / "y.mp4")
    with pytest.raises(UsageError, match="a pipe or a device"):
        check_outputs(tasks, Manifest(tmp_path))


@pytest.mark.parametrize("suffix", ["jsonl", "yaml"])
def test_ten_million_videos_are_counted_without_being_listed(tmp_path, monkeypatch, suffix):
    lines = [
        {"image": "a.png", "moves": "w-3", "seeds": "1..10000", "output": f"{n}-{{seed}}.mp4"}
        for n in range(1000)
    ]
    text = "".join(f"{'- ' * (suffix == 'yaml')}{json.dumps(line)}\n" for line in lines)
    (tmp_path / f"jobs.{suffix}").write_text(text)
    validated = []
    validate = jobs.validate_model
    monkeypatch.setattr(jobs, "validate_model", lambda *args: validated.append(args) or validate(*args))
    with pytest.raises(UsageError, match="too many videos; expected at most 10000 a file") as refused:
        read_tasks(read_source(str(tmp_path / f"jobs.{suffix}")))
    assert f"jobs.{suffix}:2:" in str(refused.value)
    assert len(validated) == 2
