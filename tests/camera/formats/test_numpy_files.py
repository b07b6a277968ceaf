"""NumPy camera files: names of ViPE recordings and arrays, skipped frames, limits, and files that cannot be read."""

import zipfile

import numpy as np
import pytest

from lingbot_cli.camera.formats import numpy_files
from lingbot_cli.camera.formats.numpy_files import read_array, read_lenses, read_npz, read_vipe_folder
from lingbot_cli.errors import UsageError

POSES = np.tile(np.eye(4), (5, 1, 1))
LENS = [500.0, 510.0, 416.0, 240.0]


def refusal(read, *arguments):
    with pytest.raises(UsageError) as refused:
        read(*arguments)
    return str(refused.value)


def test_a_vipe_folder_of_several_recordings_names_the_first_eight(tmp_path):
    (tmp_path / "pose").mkdir()
    assert "0 recordings (none); expected one" in refusal(read_vipe_folder, tmp_path)
    for number in range(10):
        np.savez(tmp_path / "pose" / f"{number}.npz", data=POSES, inds=np.arange(5))
    said = refusal(read_vipe_folder, tmp_path)
    assert "10 recordings (0.npz, 1.npz, 2.npz, 3.npz, 4.npz, 5.npz, 6.npz, 7.npz); expected one" in said


@pytest.mark.parametrize(
    ("inds", "message"),
    [
        ([0, 2, 3, 7, 8], "row 1: frame 2 follows frame 0"),
        ([0, 1, 2, 3, 5], "row 4: frame 5 follows frame 3"),
        ([4, 3, 2, 1, 0], "row 1: frame 3 follows frame 4"),
        ([0, 1, 2, 3], "inds of shape [4]; expected [5] frame numbers"),
        ([0.0, 1.0, 2.0, 3.0, 4.0], "inds of shape [5]; expected [5] frame numbers"),
    ],
)
def test_the_first_skipped_frame_is_named(tmp_path, inds, message):
    np.savez(tmp_path / "a.npz", data=POSES, inds=np.array(inds))
    assert message in refusal(read_npz, tmp_path / "a.npz")


def test_an_archive_without_poses_names_its_arrays(tmp_path):
    np.savez(tmp_path / "a.npz")
    assert "arrays none; expected exactly one" in refusal(read_npz, tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", c2w=POSES, w2c=POSES)
    assert "arrays c2w, w2c; expected exactly one" in refusal(read_npz, tmp_path / "a.npz")


@pytest.mark.parametrize("key", ["intrinsics", "intrinsic", "K", "Ks", "data"])
def test_lenses_of_an_archive(tmp_path, key):
    np.savez(tmp_path / "a.npz", **{key: np.tile(LENS, (5, 1))})
    assert read_lenses(tmp_path / "a.npz", 5).tolist() == [LENS] * 5


def test_an_archive_without_lenses_names_its_arrays(tmp_path):
    np.savez(tmp_path / "a.npz")
    assert "arrays none; expected one of intrinsics, " in refusal(read_lenses, tmp_path / "a.npz", 5)
    np.savez(tmp_path / "a.npz", one=POSES, two=POSES)
    assert "arrays one, two; expected one of" in refusal(read_lenses, tmp_path / "a.npz", 5)


def test_the_unpacked_size_of_an_array_is_limited(tmp_path, monkeypatch):
    lenses = np.zeros((5, 4), np.float64)
    np.savez_compressed(tmp_path / "a.npz", intrinsics=lenses + LENS)
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        size = archive.infolist()[0].file_size
    monkeypatch.setattr(numpy_files, "MAX_FILE_BYTES", size)
    assert len(read_lenses(tmp_path / "a.npz", 5)) == 5
    monkeypatch.setattr(numpy_files, "MAX_FILE_BYTES", size - 1)
    assert "array intrinsics is larger than 0 MiB" in refusal(read_lenses, tmp_path / "a.npz", 5)
    monkeypatch.setattr(numpy_files, "MAX_FILE_BYTES", 3 << 20)
    np.savez_compressed(tmp_path / "a.npz", c2w=np.zeros((1 << 17, 4)))
    assert "array c2w is larger than 3 MiB" in refusal(read_npz, tmp_path / "a.npz")


def test_files_that_cannot_be_read(tmp_path, monkeypatch):
    assert refusal(read_array, tmp_path / "a.npy").endswith("a.npy: No such file or directory")
    np.savez(tmp_path / "a.npz", c2w=POSES)
    assert "an archive; expected one array" in refusal(read_array, tmp_path / "a.npz")
    np.save(tmp_path / "b.npy", POSES)
    assert "one array; expected an archive" in refusal(read_npz, tmp_path / "b.npy")

    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(zipfile.ZipExtFile, "read", fail)
    assert "array c2w cannot be read" in refusal(read_npz, tmp_path / "a.npz")
