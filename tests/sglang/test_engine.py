"""Videos rendered by the published realtime API of SGLang, its generator stubbed."""

import threading

import pytest
from PIL import Image

from tests.support.command import lingbot
from tests.support.reference import sample_image
from tests.support.sglang_server import colour, sglang_server

MODEL = ("--model", "lingbot-world-fast")


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "first.png"
    Image.fromarray(sample_image(120, 208)).save(path)
    return path


@pytest.mark.parametrize("size", ["832x480", "48x32"])  # payloads above and below 65,536 bytes
def test_every_frame_and_every_key_arrive(tmp_path, image, decode, size):
    timeline = tmp_path / "moves.yaml"
    timeline.write_text(
        "timeline: 1\nprompt: a court\nevents:\n"
        "  - {keys: w, for: 24f}\n  - {prompt: it rains}\n  - {keys: l, for: 24f}\n  - {wait: null, for: 9f}\n"
    )
    width, height = map(int, size.split("x"))
    video = tmp_path / "video.mkv"
    with sglang_server(tmp_path, SGLANG_STUB_PAUSE_S="0.3") as server:
        command = ["render", str(image), "-t", str(timeline), *MODEL, "--size", size, "--engine", server.url]
        done = lingbot(*command, "-o", str(video), "--quality", "master")
        assert done.code == 0, done.stderr
        asked = server.chunks()
    frames = decode(video, height, width)
    assert len(frames) == 57
    for chunk, start in enumerate((0, 9, 21, 33, 45)):
        assert (frames[start : start + (9 if chunk == 0 else 12)] == colour(chunk)).all()
    assert [line["size"] for line in asked] == [[width, height]] * 5
    assert asked[0]["image_bytes"] > 100
    keys = [frame for line in asked for frame in line["actions"]]
    assert keys[1:6] == [["w"]] * 5
    assert all(frame in ([], ["l"]) for frame in keys[7:])
    # 24 frames turn by 2 degrees each, a published key by 6.
    assert keys.count(["l"]) + keys.count(["w", "l"]) == 8
    assert [line["prompt"] for line in asked] == ["a court"] * 3 + ["it rains"] * 2
    assert [line["prompt_updated"] for line in asked].count(True) == 1


def test_prompts_of_neighbouring_chunks_act_in_their_own(tmp_path, image):
    timeline = tmp_path / "moves.yaml"
    prompts = "".join(f"  - {{prompt: word {n}, at: {9 + 12 * n}f}}\n" for n in range(4))
    timeline.write_text(f"timeline: 1\nprompt: first\nduration: 57f\nevents:\n{prompts}")
    with sglang_server(tmp_path, SGLANG_STUB_PAUSE_S="0.3") as server:
        command = [
            "render",
            str(image),
            "-t",
            str(timeline),
            *MODEL,
            "--size",
            "48x32",
            "--engine",
            server.url,
        ]
        done = lingbot(*command, "-o", "null:")
        assert done.code == 0, done.stderr
        assert [line["prompt"] for line in server.chunks()] == [
            "first",
            "word 0",
            "word 1",
            "word 2",
            "word 3",
        ]


def test_a_scene_longer_than_the_servers_queue_is_refused_with_the_length_that_fits(tmp_path, image):
    with sglang_server(tmp_path) as server:
        command = [
            "render",
            str(image),
            "--moves",
            "w-2100",
            *MODEL,
            "--size",
            "48x32",
            "--engine",
            server.url,
        ]
        for extra in ((), ("--dry-run",)):
            done = lingbot(*command, "--prompt", "a", "-o", str(tmp_path / "a.mkv"), *extra)
            assert done.code == 2
            assert "this server holds keys for 512" in done.stderr
            assert "render at most 2037 frames (127 s)" in done.stderr
        assert server.chunks() == []
    assert list(tmp_path.glob("a.*")) == []


def test_a_server_that_fails_is_exit_5_and_the_part_before_plays(tmp_path, image, decode):
    with sglang_server(tmp_path, SGLANG_STUB_FAIL_AT="2") as server:
        command = ["render", str(image), "--moves", "w-45", *MODEL, "--size", "48x32", "--engine", server.url]
        done = lingbot(*command, "--prompt", "a", "-o", str(tmp_path / "a.mkv"), "--quality", "master")
    assert done.code == 5
    assert "the engine fails: error during generate loop: the generator failed" in done.stderr
    assert len(decode(tmp_path / "a.partial.mkv", 32, 48)) == 21


def test_a_busy_server_is_exit_5(tmp_path, image):
    with sglang_server(tmp_path, SGLANG_STUB_PAUSE_S="0.5") as server:
        command = ["render", str(image), "--moves", "w-93", *MODEL, "--size", "48x32", "--engine", server.url]
        first = threading.Thread(target=lingbot, args=(*command, "--prompt", "a", "-o", "null:"))
        first.start()
        while not server.chunks():
            assert first.is_alive()
        done = lingbot(*command, "--prompt", "a", "-o", "null:")
        first.join(60)
    assert done.code == 5
    assert "another realtime session is already active" in done.stderr


def test_streams_need_exact_poses_and_no_output_is_opened(tmp_path, image):
    with sglang_server(tmp_path) as server:
        command = ["stream", str(image), "--moves", "w-45", *MODEL, "--size", "48x32", "--engine", server.url]
        done = lingbot(
            *command, "--prompt", "a", "--to", str(tmp_path / "a.mkv"), "--record", str(tmp_path / "b.mkv")
        )
        assert done.code == 2
        assert "this server takes no exact poses" in done.stderr
    assert not list(tmp_path.glob("*.mkv"))
