"""Camera files of both directions through nerfstudio's own readers, in a process of their own."""

import json
import subprocess
import sys

import numpy as np
from PIL import Image

from lingbot_cli.camera.formats import nerfstudio
from lingbot_cli.camera.formats.camera_file import to_convention
from lingbot_cli.camera.formats.read_cameras import read_cameras
from tests.camera.formats.test_round_trips import EXACT, NAMES, SIZE, path  # noqa: F401 - a fixture

READ_TRANSFORMS = """
import json, sys
from pathlib import Path
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
config = NerfstudioDataParserConfig(
    data=Path(sys.argv[1]), downscale_factor=1, auto_scale_poses=False, center_method="none",
    orientation_method="none", eval_mode="all", load_3D_points=False)
read = config.setup().get_dataparser_outputs("train")
cameras = read.cameras
json.dump({
    "names": [file.name for file in read.image_filenames],
    "poses": cameras.camera_to_worlds.double().tolist(),
    "lenses": [[float(v) for v in row] for row in zip(cameras.fx, cameras.fy, cameras.cx, cameras.cy)],
    "size": [int(cameras.width[0]), int(cameras.height[0])],
}, open(sys.argv[2], "w"))
"""
READ_PATH = """
import json, sys
from nerfstudio.cameras.camera_paths import get_path_from_json
cameras = get_path_from_json(json.load(open(sys.argv[1])))
json.dump({
    "poses": cameras.camera_to_worlds.double().tolist(),
    "lenses": [[float(v) for v in row] for row in zip(cameras.fx, cameras.fy, cameras.cx, cameras.cy)],
}, open(sys.argv[2], "w"))
"""


def read_with_nerfstudio(script, source, out):
    done = subprocess.run(
        [sys.executable, "-c", script, str(source), str(out)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return {
        name: np.array(value) if name in ("poses", "lenses") else value
        for name, value in json.loads(out.read_text()).items()
    }


def test_nerfstudio_reads_what_is_exported(path, tmp_path):  # noqa: F811
    poses, lenses = path
    nerfstudio.write_transforms(tmp_path, poses, lenses, SIZE, NAMES)
    for name in NAMES:
        Image.new("RGB", SIZE).save(tmp_path / name)
    theirs = read_with_nerfstudio(READ_TRANSFORMS, tmp_path, tmp_path / "out.json")
    assert theirs["names"] == list(NAMES)
    assert tuple(theirs["size"]) == SIZE
    # Their poses are OpenGL's, in float32, in a world whose z points up.
    ours = to_convention(poses, "blender")
    np.testing.assert_allclose(theirs["poses"], ours[:, :3], rtol=0, atol=1e-6)
    np.testing.assert_allclose(theirs["lenses"], lenses, rtol=1e-6)


def test_a_camera_path_is_read_as_nerfstudio_reads_it(path, tmp_path):  # noqa: F811
    poses, _ = path
    keys = [
        {"camera_to_world": pose.flatten().tolist(), "fov": 40.0 + number, "aspect": 16 / 9}
        for number, pose in enumerate(to_convention(poses, "blender"))
    ]
    file = tmp_path / "camera_path.json"
    content = {
        "camera_type": "perspective",
        "render_width": 1920,
        "render_height": 1080,
        "fps": 24,
        "seconds": 4,
    }
    file.write_text(json.dumps({**content, "camera_path": keys}))
    theirs = read_with_nerfstudio(READ_PATH, file, tmp_path / "out.json")
    found = read_cameras(file)
    np.testing.assert_allclose(found.poses, poses, **EXACT)
    np.testing.assert_allclose(
        theirs["poses"], to_convention(found.poses, "blender")[:, :3], rtol=0, atol=1e-6
    )
    np.testing.assert_allclose(theirs["lenses"], found.intrinsics, rtol=1e-6)
