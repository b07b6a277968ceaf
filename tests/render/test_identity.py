"""Identity of a video: whatever changes it is refused by --resume, encoded again and rendered again by a batch."""

from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lingbot_cli.batch.manifest import Manifest
from lingbot_cli.batch.planner import video_fingerprint
from lingbot_cli.batch.tasks import Task
from lingbot_cli.camera.scale import parse_scale
from lingbot_cli.errors import UsageError
from lingbot_cli.presets import DESCRIPTIVE, PRESETS
from lingbot_cli.render.fingerprint import chunk_fingerprints, preset_json, render_fingerprint
from lingbot_cli.render.request import PreparedVideo, Request, prepare
from lingbot_cli.render.resume_store import ResumeStore
from lingbot_cli.runtime.model_options import ModelOptions
from lingbot_cli.sinks.base import VideoInfo
from lingbot_cli.sinks.codecs import CODECS
from lingbot_cli.sinks.encoding import Encoding
from lingbot_cli.sinks.factory import OutputOptions
from lingbot_cli.sinks.ffmpeg_binary import find_ffmpeg
from lingbot_cli.sinks.formats import FORMATS
from lingbot_cli.timeline.resolve import TimelineOverrides

LINES = ['{"keys": "w", "for": "1.5s"}', '{"prompt": "night", "at": "0.6s"}']


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shades = np.mgrid[0:64, 0:96, 0:3].sum(0).astype(np.uint8)
    Image.fromarray(shades).save(tmp_path / "a.png")
    shades[40:42, 40:42] ^= 64
    Image.fromarray(shades).save(tmp_path / "other.png")
    (tmp_path / "a.jsonl").write_text("\n".join(LINES))
    return tmp_path


def video(
    folder: Path, *, image: str = "a.png", lines: list[str] = LINES, scale: str = "1", **changes: object
):
    (folder / "a.jsonl").write_text("\n".join(lines))
    options = ModelOptions(**{"device": "cpu", **changes.pop("options", {})})  # type: ignore[arg-type]
    request = Request(
        folder / image,
        timeline=str(folder / "a.jsonl"),
        overrides=TimelineOverrides(prompt="day", scale=parse_scale(scale)),
        **{"size": "48x32", "seed": 1, **changes},  # type: ignore[arg-type]
        options=options,
    )
    return prepare(request)


CHANGES = {
    "image": {"image": "other.png"},
    "scale": {"scale": "2"},
    "seed": {"seed": 2},
    "size": {"size": "64x32"},
    "precision": {"options": {"precision": "bfloat16"}},
    "linears": {"options": {"linears": "fp8"}},
    "kv cache": {"options": {"kv_cache": "int8"}},
    "kernel": {"options": {"kernel": "math"}},
    "threads": {"options": {"threads": 1}},
    "compile": {"options": {"compile": False}},
    "settings": {"options": {"window": 9}},
    "prompt": {"lines": [LINES[0], LINES[1].replace("night", "noon")]},
    "recache": {"lines": [LINES[0], LINES[1].replace("}", ', "recache": true}')]},
    "camera": {"lines": [LINES[0].replace("w", "s"), LINES[1]]},
    "cut": {"lines": [*LINES, '{"cut": "other.png", "at": "0.6s"}']},
}


def saved(folder: Path, prepared: PreparedVideo) -> ResumeStore:
    """Return a store with every chunk of a video."""
    store = ResumeStore.for_output(str(folder / "a.mp4"))
    store.folder.mkdir()
    store.start(render_fingerprint(prepared), 0)
    for index, chunk in enumerate(chunk_fingerprints(prepared)):
        store.save_chunk(index, np.zeros((16, 3, 4, 6), np.float32), chunk)
    return store


@pytest.mark.parametrize("name", CHANGES)
def test_a_video_with_one_change_is_not_resumed_from_the_other(folder: Path, name: str) -> None:
    before = video(folder)
    store = saved(folder, before)
    assert store.load(render_fingerprint(before), chunk_fingerprints(before)).chunks == len(before.controls)
    after = video(folder, **CHANGES[name])
    with pytest.raises(UsageError, match=rf"{name} .*, now "):
        store.load(render_fingerprint(after), chunk_fingerprints(after))


def task(prepared: PreparedVideo, **options: object) -> str:
    return video_fingerprint(
        Task("a.mp4", prepared.request, OutputOptions(**options)),  # type: ignore[arg-type]
        prepared,
    )


@pytest.mark.parametrize("name", CHANGES)
def test_a_batch_renders_a_video_with_one_change_again(folder: Path, name: str) -> None:
    before = task(video(folder))
    assert task(video(folder)) == before
    assert task(video(folder, **CHANGES[name])) != before


@pytest.mark.parametrize(
    "change", [{"quality": "draft"}, {"codec": "x265"}, {"codec": "x264"}, {"crf": 30}, {"crf": 31}], ids=str
)
def test_a_batch_renders_a_video_of_another_encoding_again(folder: Path, change: dict[str, object]) -> None:
    prepared = video(folder)
    others = [{}, {"quality": "draft"}, {"codec": "x265"}, {"codec": "x264"}, {"crf": 30}, {"crf": 31}]
    same = [each for each in others if task(prepared, **each) == task(prepared, **change)]
    assert same == [change]


@pytest.mark.parametrize(
    "change",
    [{"quality": "draft"}, {"codec": CODECS["x265"]}, {"crf": 30}, {"container": FORMATS["mkv"]}],
    ids=str,
)
def test_packets_of_another_encoding_are_not_appended_to(change: dict[str, object]) -> None:
    encoding = Encoding(find_ffmpeg({}), FORMATS["mp4"], CODECS["x264"])
    info = VideoInfo(32, 48, Fraction(16), 9)
    found = encoding.fingerprint(info, "a.mp4")
    assert encoding.fingerprint(info, "a.mp4") == found
    assert replace(encoding, **change).fingerprint(info, "a.mp4") != found
    assert encoding.fingerprint(info, "b.mp4") != found
    for other in ({"width": 64}, {"fps": Fraction(8)}, {"variant": "with captions"}):
        assert encoding.fingerprint(replace(info, **other), "a.mp4") != found


def test_packets_of_a_decoder_of_other_content_are_not_appended_to(folder: Path) -> None:
    file = folder / "decoder.safetensors"

    def variant(content: bytes, **options: object) -> str:
        file.write_bytes(content)
        return video(folder, options=options).video_info().variant

    by_file = {"decoder": str(file)}
    first = variant(b"one", **by_file)
    assert variant(b"one", **by_file) == first
    others = [variant(b"one", decode_on=device) for device in ("cpu", "cuda:1")]
    assert len({first, variant(b"two", **by_file), variant(b"one"), *others}) == 5


@pytest.mark.parametrize("harm", ["deleted", "cut by a byte", "longer by a byte", "empty", "no entry"])
def test_a_deleted_or_truncated_video_is_rendered_again(tmp_path: Path, harm: str) -> None:
    manifest, file = Manifest(tmp_path), tmp_path / "a.mp4"
    file.write_bytes(b"0123456789")
    manifest.record("a.mp4", {"recipe": "r", "frames": 9, "latents": "l"})
    assert manifest.find("a.mp4", "r") is not None
    assert manifest.find("a.mp4", "other") is None
    if harm == "deleted":
        file.unlink()
    elif harm == "no entry":
        manifest.files("a.mp4")[-1].unlink()
    else:
        file.write_bytes(
            {"cut by a byte": b"012345678", "longer by a byte": b"0123456789a", "empty": b""}[harm]
        )
    assert manifest.find("a.mp4", "r") is None


def test_an_image_sequence_without_one_of_its_images_is_rendered_again(tmp_path: Path) -> None:
    manifest, name = Manifest(tmp_path), "a/%05d.png"
    (tmp_path / "a").mkdir()
    for number in range(3):
        (tmp_path / "a" / f"{number:05d}.png").write_bytes(b"image")
    manifest.record(name, {"recipe": "r"})
    assert manifest.find(name, "r") is not None
    (tmp_path / "a" / "00001.png").unlink()
    assert manifest.find(name, "r") is None


def test_every_setting_of_a_preset_that_determines_latents_is_part_of_its_videos_identity() -> None:
    preset = PRESETS["built-in"]
    for field in fields(preset):
        if field.name in DESCRIPTIVE:
            continue
        value = getattr(preset, field.name)
        other = (
            (1, 2)
            if isinstance(value, tuple)
            else f"{value}x"
            if isinstance(value, str)
            else (value or 0) + 1
        )
        assert preset_json(replace(preset, **{field.name: other})) != preset_json(preset), field.name


def test_options_are_named_in_a_fingerprint(folder: Path) -> None:
    set_options = {
        "precision": "bfloat16",
        "linears": "fp8",
        "kv cache": "int8",
        "kernel": "math",
        "threads": "1",
        "compile": "no",
        "encode": "float32",
        "commit": "last-step",
        "vae format": "channels-last",
    }
    given: dict[str, object] = {name.replace(" ", "_"): value for name, value in set_options.items()}
    found = render_fingerprint(video(folder, options=given | {"threads": 1, "compile": False}))
    assert {name: found[name] for name in set_options} == set_options
    assert found["device"] == "cpu"
    plain = render_fingerprint(video(folder))
    assert not {"encode", "commit", "vae format"} & plain.keys()
    assert [plain[name] for name in ("precision", "linears", "attention", "kernel")] == [
        "the device's",
        "exact",
        "exact",
        "the fastest there is",
    ]
    assert render_fingerprint(video(folder, options={"compile": True}))["compile"] == "yes"


def test_only_what_a_chunk_has_is_in_its_fingerprint(folder: Path) -> None:
    plain = chunk_fingerprints(video(folder))
    assert [set(chunk) for chunk in plain] == [{"prompt", "camera"}] * len(plain)
    assert all(len(chunk["camera"]) == 16 for chunk in plain)
    again = chunk_fingerprints(video(folder, lines=[LINES[0], LINES[1].replace("}", ', "recache": true}')]))
    assert [chunk.get("recache") for chunk in again] == [None, None, "true"]
    cut = chunk_fingerprints(video(folder, lines=[*LINES, '{"cut": "other.png", "at": "0.6s"}']))
    assert ["cut" in chunk for chunk in cut] == [False, False, True]
