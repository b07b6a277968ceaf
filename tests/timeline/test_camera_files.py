"""Camera files in a timeline and under --poses: time, joints, lenses, scale and notes."""

import json

import numpy as np
import pytest

from lingbot_cli.camera.formats.camera_file import to_convention
from lingbot_cli.camera.scale import FIXED_SCALE, ScaleRule
from lingbot_cli.errors import UsageError
from lingbot_cli.timeline.input_files import PathOptions
from lingbot_cli.timeline.poses_dir import write_poses_dir
from lingbot_cli.timeline.resolve import TimelineOverrides, resolve_timeline
from lingbot_cli.timeline.times import parse_time
from tests.support.timelines import compile_text, find_problems, schedule_text


def walk(rows, step=0.05):
    poses = np.tile(np.eye(4), (rows, 1, 1))
    poses[:, 2, 3] = np.arange(rows) * step
    return poses


def resolve(path, fps=None, duration=None, scale=None, rate=None, **options):
    overrides = TimelineOverrides(
        fps=fps,
        duration=duration and parse_time(duration),
        scale=scale,
        path=PathOptions(fps=rate, **options),
    )
    return resolve_timeline(4, poses=str(path), overrides=overrides)


@pytest.mark.parametrize("fps", [8, 16, 24, 30, 60])
def test_31_rows_at_30_fps_are_one_second(tmp_path, fps):
    np.save(tmp_path / "walk.npy", walk(31))
    text = f"fps: {fps}\nevents: [{{poses: walk.npy, fps: 30, scale: fixed}}, {{wait: 1s}}]"
    made = compile_text(text, folder=tmp_path)
    assert made.frames == 2 * fps
    assert made.poses[fps, 2, 3] == pytest.approx(30 * 0.05)  # the last row, where the next event begins
    assert resolve(tmp_path / "walk.npy", fps).compiled.frames == 31
    assert resolve(tmp_path / "walk.npy", fps, rate=30).compiled.frames == fps


def test_joints_keep_their_speed(tmp_path):
    np.save(tmp_path / "walk.npy", walk(31))
    text = "events: [{poses: walk.npy}, {poses: walk.npy, fps: 48}, {keys: w, for: 1s}]"
    made = compile_text(text, folder=tmp_path)
    steps = np.linalg.norm(np.diff(made.poses[:, :3, 3], axis=0), axis=1)
    assert made.frames == 31 + 10 + 16
    np.testing.assert_allclose(steps[: made.frames - 1], 0.05, rtol=1e-4)


def test_the_first_row_is_not_repeated_after_keys(tmp_path):
    np.save(tmp_path / "walk.npy", walk(9))
    made = compile_text("events: [{keys: w, for: 1s}, {poses: walk.npy, for: 2s}]", folder=tmp_path)
    assert (np.linalg.norm(np.diff(made.poses[:48, :3, 3], axis=0), axis=1) > 0.01).all()


def test_a_zoom_is_as_smooth_as_its_poses(tmp_path):
    np.save(tmp_path / "still.npy", walk(10, step=0))
    focal = np.linspace(500, 950, 10)
    np.save(tmp_path / "zoom.npy", np.stack([focal, focal, np.full(10, 416.0), np.full(10, 240.0)], 1))
    made = compile_text("events: [{poses: still.npy, intrinsics: zoom.npy, for: 2s}]", folder=tmp_path)
    np.testing.assert_allclose(made.intrinsics[:32, 0], np.linspace(500, 950, 32))


def test_intrinsics_of_other_images(tmp_path):
    np.save(tmp_path / "walk.npy", walk(9))
    np.save(tmp_path / "lens.npy", np.array([1500.0, 1500, 960, 540]))
    np.save(tmp_path / "small.npy", np.array([640.0, 640, 320, 180]))
    np.save(tmp_path / "shares.npy", np.array([0.8, 1.4, 0.5, 0.5]))
    expected = [1500 * 832 / 1920, 1500 * 480 / 1080, 416, 240]
    made = resolve(tmp_path / "walk.npy", intrinsics=str(tmp_path / "lens.npy"))
    np.testing.assert_allclose(made.compiled.intrinsics[3], expected)
    assert "1920x1080" in made.warnings[0]
    made = resolve(tmp_path / "walk.npy", intrinsics=str(tmp_path / "small.npy"), intrinsics_size="640x360")
    np.testing.assert_allclose(made.compiled.intrinsics[3], [832, 640 * 480 / 360, 416, 240])
    assert made.warnings == ()
    made = resolve(tmp_path / "walk.npy", intrinsics=str(tmp_path / "shares.npy"))
    np.testing.assert_allclose(made.compiled.intrinsics[3], [0.8 * 832, 1.4 * 480, 416, 240])
    assert "shares" in made.warnings[0]
    text = "events: [{poses: walk.npy, intrinsics: small.npy}]"
    assert compile_text(text, folder=tmp_path).intrinsics[0, 2] == 320  # the published rule, with a note
    with pytest.raises(UsageError, match=r"walk\.npy: intrinsics_size without intrinsics"):
        resolve(tmp_path / "walk.npy", intrinsics_size="640x360")


def test_the_size_of_vipe_images_is_twice_their_centre(tmp_path):
    lens = np.tile([900.0, 900, 640, 360], (9, 1))
    for part, data in (("pose", walk(9)), ("intrinsics", lens)):
        (tmp_path / part).mkdir()
        np.savez(tmp_path / part / "walk.npz", data=data, inds=np.arange(9))
    made = resolve(tmp_path)
    np.testing.assert_allclose(made.compiled.intrinsics[0], [900 * 832 / 1280, 600, 416, 240])
    assert "taken for images of 1280x720" in made.warnings[0]


@pytest.mark.parametrize(
    ("lens", "message"),
    [
        ([500, 500, 416, 240, 5000], "row 1: principal point (5000, 240) outside the image of 832x480"),
        ([500, 30, 416, 240, 416], "row 0: field of view 79.5° across and 165.7° down; expected 5° to 150°"),
        ([20000, 20000, 416, 240, 416], "row 0: field of view 2.4°"),
    ],
)
def test_what_is_no_lens(tmp_path, lens, message):
    fx, fy, cx, cy, other = lens
    np.save(tmp_path / "walk.npy", walk(3))
    np.save(tmp_path / "lens.npy", np.array([[fx, fy, cx, cy], [fx, fy, other, cy], [fx, fy, cx, cy]], float))
    problems = find_problems("events: [{poses: walk.npy, intrinsics: lens.npy}]", folder=tmp_path)
    assert message in problems[0].message


def test_the_scale_of_a_path_is_chosen_and_reported(tmp_path):
    np.save(tmp_path / "far.npy", walk(33, step=5.0))
    rules = {"": "clip", ", scale: clip": "clip", ", scale: 20": "20", ", scale: {fit: 1.0}": "fit:1"}
    for key, rule in rules.items():
        made = compile_text(f"events: [{{poses: far.npy{key}}}]", folder=tmp_path)
        (report,) = made.paths
        assert (report.scale_rule, report.scale) == (rule, pytest.approx(20.0))
        assert (report.steps.median, report.steps.largest) == (pytest.approx(1.0), pytest.approx(1.0))
        np.testing.assert_allclose(made.poses[4, 2, 3], FIXED_SCALE)
        assert made.scale == FIXED_SCALE
    fixed = compile_text("events: [{poses: far.npy, scale: fixed}]", folder=tmp_path)
    assert fixed.step_sizes().largest == pytest.approx(100)
    alone = resolve(tmp_path / "far.npy")
    np.testing.assert_allclose(alone.compiled.poses[:33], made.poses[:33])  # the same default
    half = resolve(tmp_path / "far.npy", scale=ScaleRule("fit", 0.5))
    assert half.compiled.step_sizes().median == pytest.approx(0.5)


def test_a_jump_is_noted_with_its_row(tmp_path):
    poses = walk(31)
    poses[20:, 2, 3] += 9
    np.save(tmp_path / "jump.npy", poses)
    (note,) = resolve(tmp_path / "jump.npy").warnings
    assert "jumps from row 19 to row 20: 181 times the median step" in note


@pytest.mark.parametrize(
    ("convention", "matrix", "advice"),
    [
        ("opengl", "c2w", "convention: opengl"),
        ("opencv", "w2c", "matrix: w2c"),
        ("blender", "c2w", "convention: blender"),
    ],
)
def test_matrices_of_another_convention_give_a_note_that_names_it(tmp_path, convention, matrix, advice):
    np.save(tmp_path / "other.npy", to_convention(walk(17), convention, matrix))
    (note,) = resolve(tmp_path / "other.npy").warnings
    assert "mostly moves backwards" in note
    assert advice in note
    chosen = resolve(tmp_path / "other.npy", convention=convention, matrix=matrix)
    assert chosen.warnings == ()
    np.testing.assert_allclose(chosen.compiled.poses[:17], walk(17), atol=1e-12)


def test_keys_after_a_path_of_blender_walk_ahead(tmp_path):
    np.save(tmp_path / "other.npy", to_convention(walk(17), "blender"))
    text = "events: [{poses: other.npy, convention: blender, scale: fixed}, {keys: w, for: 1s}]"
    made = compile_text(text, folder=tmp_path)
    np.testing.assert_allclose(made.poses[31, :3, 3], [0, 0, 31 * 0.05], atol=1e-4)


@pytest.mark.parametrize("form", ["npy", "nerfstudio", "colmap", "re10k"])
def test_an_export_in_any_format_makes_the_same_camera(tmp_path, form):
    made = compile_text("events: [{keys: wl, for: 2s}, {turn: {pitch: 9, roll: 5}, for: 1s}]")
    write_poses_dir(made, tmp_path / "out", form, size=(720, 1280))
    again = resolve(tmp_path / "out").compiled
    assert (again.frames, again.grid.fps, again.scale) == (made.frames, 16, made.scale)
    np.testing.assert_allclose(again.poses[:48], made.poses[:48], atol=1e-6)
    np.testing.assert_allclose(again.intrinsics[:48], made.intrinsics[:48], atol=1e-6)
    inside = compile_text("events: [{poses: out}]", folder=tmp_path)
    np.testing.assert_allclose(inside.poses[:48], made.poses[:48], atol=1e-6)
    assert resolve(tmp_path / "out").warnings == ()


def test_viewer_paths_bring_their_rate_and_lens(tmp_path):
    keys = [
        {"camera_to_world": pose.flatten().tolist(), "fov": 40 + row, "aspect": 16 / 9}
        for row, pose in enumerate(to_convention(walk(25), "blender"))
    ]
    content = {"render_width": 1920, "render_height": 1080, "fps": 24, "camera_path": keys}
    (tmp_path / "camera_path.json").write_text(json.dumps(content))
    made = resolve(tmp_path / "camera_path.json").compiled
    assert made.frames == 16
    np.testing.assert_allclose(made.intrinsics[2, 1], 240 / np.tan(np.radians(43) / 2))


def test_square_pixels_on_frames_of_any_shape():
    header = schedule_text("camera: {fov: 60}\nevents: [{wait: 1s}]").header
    for height, width in ((832, 480), (640, 640), (480, 640), (480, 832)):
        fx, fy, _, _ = header.fitted(height, width).camera.pixel_intrinsics
        across, down = fx * width / 832, fy * height / 480
        assert across == pytest.approx(down)
        assert np.degrees(2 * np.arctan(width / 2 / across)) == pytest.approx(60)
    portrait = schedule_text("events: [{wait: 1s}]").header.fitted(832, 480).camera.pixel_intrinsics
    assert portrait[1] * 832 / 480 == pytest.approx(500)  # 80 degrees along the longer side
    given = schedule_text("camera: {intrinsics: [500, 400, 416, 240]}\nevents: [{wait: 1s}]").header
    assert given.fitted(832, 480).camera.pixel_intrinsics == (500, 400, 416, 240)


def test_the_duration_cuts_or_holds_the_cameras(tmp_path):
    made = compile_text("events: [{keys: w, for: 2s}]")
    write_poses_dir(made, tmp_path / "npy")
    write_poses_dir(made, tmp_path / "colmap", "colmap")
    for name in ("npy", "colmap"):
        cut = resolve(tmp_path / name, duration="9f").compiled
        assert cut.frames == 9
        np.testing.assert_allclose(cut.poses[:9], made.poses[:9], atol=1e-9)
        assert resolve(tmp_path / name, duration="3s").compiled.frames == 48
        assert resolve(tmp_path / name, fps=24).compiled.frames == 32
        assert resolve(tmp_path / name, fps=24, rate=16).compiled.frames == 47


def test_a_path_is_reported_as_it_was_read(tmp_path):
    np.save(tmp_path / "walk.npy", walk(17))
    (report,) = resolve(tmp_path / "walk.npy").compiled.paths
    assert (report.rows, report.frames, report.assumed) == (17, 17, True)
    reading = "NumPy array, 17 rows, a row a frame, camera-to-world, OpenCV axes (assumed); scale "
    assert str(report).startswith(f"camera {tmp_path}/walk.npy: {reading}")
    (report,) = resolve(tmp_path / "walk.npy", rate=32, matrix="c2w").compiled.paths
    assert (report.frames, report.assumed) == (8, False)
    assert "32 rows a second, camera-to-world, OpenCV axes; scale " in str(report)
    (report,) = resolve(tmp_path / "walk.npy", convention="opencv", matrix="w2c").compiled.paths
    assert "world-to-camera, OpenCV axes; " in str(report)
    assert not report.assumed


@pytest.mark.parametrize("name", ["x" * 300, "a\\u0000b", "loop"])
def test_a_name_that_no_file_has_is_refused(tmp_path, name):
    (tmp_path / "loop").symlink_to("loop")
    (problem,) = find_problems(f'{{"poses": "{name}"}}\n', name="t.jsonl", folder=tmp_path)
    assert "; expected a file under " in problem.message


def test_the_hint_of_a_file_that_cannot_be_read_is_shown(tmp_path):
    np.save(tmp_path / "walk.npy", walk(3))
    (problem,) = find_problems("events: [{poses: walk.npy, intrinsics_size: 640x360}]", folder=tmp_path)
    assert problem.message.endswith("intrinsics_size without intrinsics; name a file with intrinsics")
