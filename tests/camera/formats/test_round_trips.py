"""Every camera format written and read again, through COLMAP's own library where it is one of its formats."""

import json

import numpy as np
import pycolmap
import pytest

from lingbot_cli.camera.formats import colmap, nerfstudio, text_files
from lingbot_cli.camera.formats.camera_file import to_convention
from lingbot_cli.camera.formats.read_cameras import read_cameras
from lingbot_cli.camera.interpolate import to_quaternions, to_rotations
from lingbot_cli.camera.pose import invert_poses

SIZE = (1920, 1080)
EXACT = {"rtol": 0, "atol": 1e-6}


def write_tum(path, seconds, positions, turns):
    """Write `timestamp tx ty tz qx qy qz qw` lines from positions [N, 3] and quaternions [N, 4], w first."""
    table = np.column_stack([seconds, positions, turns[:, 1:], turns[:, 0]])
    path.write_text("".join(" ".join(map(repr, row)) + "\n" for row in table.tolist()))


@pytest.fixture
def path():
    """Ten OpenCV camera-to-world poses with turns about every axis, and a zoom."""
    rng = np.random.default_rng(3)
    turns = np.cumsum(rng.normal(size=(10, 4)) * 0.1, axis=0) + np.array([1, 0, 0, 0])
    poses = np.tile(np.eye(4), (10, 1, 1))
    poses[:, :3, :3] = to_rotations(turns / np.linalg.norm(turns, axis=1, keepdims=True))
    poses[:, :3, 3] = np.cumsum(rng.normal(size=(10, 3)), axis=0)
    focal = np.linspace(1000, 1500, 10)
    return poses, np.stack([focal, focal * 1.01, np.full(10, 950.0), np.full(10, 545.0)], axis=1)


NAMES = tuple(f"{number:05d}.png" for number in range(1, 11))


def test_nerfstudio_transforms(path, tmp_path):
    poses, lenses = path
    nerfstudio.write_transforms(tmp_path, poses, lenses, SIZE, NAMES)
    first = json.loads((tmp_path / "transforms.json").read_text())["frames"][0]
    # The camera looks along −z, and the world's z points up: y down becomes −z, z ahead becomes y.
    ahead = poses[0, :3, 2]
    np.testing.assert_allclose(
        np.array(first["transform_matrix"])[:3, 2], [-ahead[0], -ahead[2], ahead[1]], **EXACT
    )
    found = read_cameras(tmp_path)
    np.testing.assert_allclose(found.poses, poses, **EXACT)
    np.testing.assert_allclose(found.intrinsics, lenses, **EXACT)
    assert (found.size, found.names, found.certain) == (SIZE, NAMES, True)


def test_colmap_text_model_as_colmap_reads_it(path, tmp_path):
    poses, lenses = path
    colmap.write_model(tmp_path, poses, lenses, SIZE, NAMES)
    theirs = pycolmap.Reconstruction(str(tmp_path))
    seen = invert_poses(poses)
    for image in theirs.images.values():
        row = NAMES.index(image.name)
        np.testing.assert_allclose(image.cam_from_world().matrix(), seen[row, :3], **EXACT)
        np.testing.assert_allclose(image.camera.params, lenses[row], **EXACT)
        assert (image.camera.width, image.camera.height) == SIZE
    assert len(theirs.images) == len(poses)


@pytest.mark.parametrize("kind", ["text", "binary"])
def test_colmap_models_that_colmap_writes(path, tmp_path, kind):
    poses, lenses = path
    colmap.write_model(tmp_path, poses, lenses, SIZE, NAMES)
    theirs = pycolmap.Reconstruction(str(tmp_path))
    folder = tmp_path / "project" / "sparse" / "0"
    folder.mkdir(parents=True)
    (theirs.write_text if kind == "text" else theirs.write_binary)(str(folder))
    found = read_cameras(tmp_path / "project")
    np.testing.assert_allclose(found.poses, poses, **EXACT)
    np.testing.assert_allclose(found.intrinsics, lenses, **EXACT)
    assert (found.size, found.names) == (SIZE, NAMES)


def test_re10k(path, tmp_path):
    poses, lenses = path
    text_files.write_re10k(tmp_path, poses, lenses, SIZE, fps=30)
    found = read_cameras(tmp_path / "re10k.txt")
    np.testing.assert_allclose(found.poses, poses, **EXACT)
    np.testing.assert_allclose(found.intrinsics * [*SIZE, *SIZE], lenses, **EXACT)
    assert found.size == (1, 1)
    assert found.fps == pytest.approx(30, rel=1e-4)


def test_cameractrl_with_an_address_and_frame_numbers(path, tmp_path):
    poses, lenses = path
    text_files.write_re10k(tmp_path, poses, lenses, SIZE, fps=30)
    lines = (tmp_path / "re10k.txt").read_text().split("\n")[1:-1]
    rows = [f"{number} {line.split(' ', 1)[1]}" for number, line in enumerate(lines)]
    (tmp_path / "clip.txt").write_text("\n".join(["https://example.org/watch?v=1", *rows]))
    found = read_cameras(tmp_path / "clip.txt")
    np.testing.assert_allclose(found.poses, poses, **EXACT)
    assert found.fps is None


def test_tum(path, tmp_path):
    poses, _ = path
    file = tmp_path / "trajectory.txt"
    write_tum(file, [row / 25 for row in range(10)], poses[:, :3, 3], to_quaternions(poses[:, :3, :3]))
    found = read_cameras(file)
    np.testing.assert_allclose(found.poses, poses, **EXACT)
    assert found.fps == pytest.approx(25)


def test_frames_are_ordered_by_the_numbers_in_their_names(path, tmp_path):
    poses, lenses = path
    names = [f"frame_{number}.png" for number in range(2, 12)]
    nerfstudio.write_transforms(tmp_path, poses, lenses, SIZE, names)
    content = json.loads((tmp_path / "transforms.json").read_text())
    content["frames"].sort(key=lambda frame: frame["file_path"])  # frame_10, frame_11, frame_2, …
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    found = read_cameras(tmp_path)
    np.testing.assert_allclose(found.poses, poses, **EXACT)
    assert found.notes == ("frames are ordered by file_path",)
    model = tmp_path / "model"
    model.mkdir()
    colmap.write_model(model, poses[::-1], lenses[::-1], SIZE, names[::-1])
    found = read_cameras(model)
    np.testing.assert_allclose(found.poses, poses, **EXACT)
    assert found.notes == ("images are ordered by name",)


def test_uneven_times_are_interpolated(tmp_path):
    seconds = [0, 0.1, 0.2, 0.3, 0.5, 0.6]  # one frame was dropped
    positions = np.array([[0, 0, second] for second in seconds])
    turns = np.tile([1.0, 0, 0, 0], (6, 1))
    write_tum(tmp_path / "walk.txt", seconds, positions, turns)
    found = read_cameras(tmp_path / "walk.txt")
    np.testing.assert_allclose(found.poses[:, 2, 3], np.arange(7) / 10, atol=1e-9)
    assert found.fps == pytest.approx(10)
    assert "uneven at row 4" in found.notes[0]


def test_numpy_and_json_lists(path, tmp_path):
    poses, lenses = path
    np.save(tmp_path / "a.npy", poses[:, :3])
    np.savez(tmp_path / "b.npz", w2c=invert_poses(poses), K=_matrices(lenses))
    (tmp_path / "c.json").write_text(json.dumps(poses.tolist()))
    for name in ("a.npy", "b.npz", "c.json"):
        np.testing.assert_allclose(read_cameras(tmp_path / name).poses, poses, **EXACT)
    np.testing.assert_allclose(read_cameras(tmp_path / "b.npz").intrinsics, lenses, **EXACT)
    flipped = to_convention(poses, "opengl")
    np.save(tmp_path / "gl.npy", flipped)
    np.testing.assert_allclose(read_cameras(tmp_path / "gl.npy", convention="opengl").poses, poses, **EXACT)
    np.save(tmp_path / "seen.npy", invert_poses(flipped))
    found = read_cameras(tmp_path / "seen.npy", convention="opengl", matrix="w2c")
    np.testing.assert_allclose(found.poses, poses, **EXACT)


def test_vipe_folder_and_file(path, tmp_path):
    poses, lenses = path
    for part, data in (("pose", poses), ("intrinsics", lenses)):
        (tmp_path / part).mkdir()
        np.savez(tmp_path / part / "walk.npz", data=data.astype(np.float32), inds=np.arange(10))
    for name in (".", "pose/walk.npz"):
        found = read_cameras(tmp_path / name)
        np.testing.assert_allclose(found.poses, poses, rtol=0, atol=1e-5)
        np.testing.assert_allclose(found.intrinsics, lenses, rtol=1e-6)
        assert (found.format, found.size) == ("ViPE", None)


def test_camera_path_of_the_viewer(path, tmp_path):
    poses, _ = path
    keys = [
        {
            "camera_to_world": pose.flatten().tolist(),
            "fov": 50.0,
            "aspect": 16 / 9,
        }
        for pose in to_convention(poses, "blender")
    ]
    content = {"render_width": 1920, "render_height": 1080, "fps": 24, "seconds": 4, "camera_path": keys}
    (tmp_path / "camera_path.json").write_text(json.dumps(content))
    found = read_cameras(tmp_path / "camera_path.json")
    np.testing.assert_allclose(found.poses, poses, **EXACT)
    assert (found.fps, found.size) == (24, SIZE)
    focal = 540 / np.tan(np.radians(25))  # fov is the vertical one
    np.testing.assert_allclose(found.intrinsics[0], [focal, focal, 960, 540])


def _matrices(lenses):
    out = np.tile(np.eye(3), (len(lenses), 1, 1))
    out[:, 0, 0], out[:, 1, 1], out[:, 0, 2], out[:, 1, 2] = lenses.T
    return out
