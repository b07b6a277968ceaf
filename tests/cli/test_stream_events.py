"""`lingbot stream --timeline -`: live events."""

import json
import subprocess

import pytest

from tests.support.command import lingbot
from tests.support.rtmp_server import until
from tests.support.stream_command import SMALL


def test_events_as_they_come(tmp_path, small_picture, streaming):
    sent, kept, said = (tmp_path / name for name in ("sent.mkv", "made.mkv", "said.jsonl"))
    on_air = streaming(
        *(
            small_picture,
            "-t",
            "-",
            *SMALL,
            "--json",
            "--to",
            sent,
            "--record",
            kept,
            "--save-timeline",
            said,
        ),
        stdin=subprocess.PIPE,
    )
    until(lambda: on_air.said("waiting"), 60)
    assert not on_air.said("plan")
    on_air.say({"timeline": 1, "prompt": "a gate", "seed": 7})
    until(lambda: any(said["chunk"] > 0 for said in on_air.said("stream")), 120)
    on_air.say({"keys": "w"})
    on_air.say({"keys": "x"})
    on_air.say("{" * 70_000)
    on_air.say("nonsense")
    on_air.say({"prompt": "it rains"})
    until(lambda: len(on_air.said("effect")) == 2, 30)
    on_air.say({"turn": {"yaw": 20}, "for": "9f"})
    until(lambda: len(on_air.said("effect")) == 3, 30)
    on_air.say({"end": True})
    assert on_air.end() == 0, on_air.err
    assert [(skipped["line"], skipped["message"].split(":")[0]) for skipped in on_air.said("skipped")] == [
        *((3, "<stdin>"), (4, "<stdin>"), (5, "<stdin>")),
    ]
    assert "unknown key letter 'x'" in on_air.said("skipped")[0]["message"]
    effects = on_air.said("effect")
    assert [effect["line"] for effect in effects] == [2, 6, 7]  # and the end, which has no frame
    assert all(0 < effect["latency"] < 30 and effect["frame"] > 0 for effect in effects)
    assert effects[0]["frame"] == 9 + 12 * (effects[0]["chunk"] - 1)
    lines = [json.loads(line) for line in said.read_text().splitlines()]
    assert lines[0] == {"timeline": 1, "prompt": "a gate", "seed": 7, "fps": 16}
    assert lines[1]["keys"] == "w"
    assert lines[1]["at"] == f"{effects[0]['frame']}f"
    (done,) = on_air.said("done")
    assert int(lines[-1]["at"][:-1]) == done["made"]
    again = lingbot("render", str(small_picture), "-t", str(said), *SMALL, "-o", "null:", "--json")
    assert again.code == 0, again.stderr
    rendered = json.loads(again.stdout.splitlines()[-1])
    assert (rendered["frames"], rendered["latents"]) == (done["made"], done["latents"])


def test_two_processes_stream_the_video_of_one(tmp_path, small_picture, streaming):
    two, one, saved = (tmp_path / name for name in ("two.mkv", "one.mkv", "walk.jsonl"))
    common = (small_picture, "--size", "112x64", "--device", "cpu", "--to", "null:")
    on_air = streaming(
        *(*common, "-t", "-", "--gpus", "2", "--json", "--record", two, "--save-timeline", saved),
        stdin=subprocess.PIPE,
    )
    on_air.say({"timeline": 1, "prompt": "a gate"})
    until(lambda: any(said["chunk"] > 0 for said in on_air.said("stream")), 120)
    on_air.say({"keys": "wl"})
    until(lambda: on_air.said("effect"), 60)
    on_air.say({"end": True})
    assert on_air.end() == 0, on_air.err
    again = lingbot("stream", *map(str, common), "-t", str(saved), "--record", str(one))
    assert again.code == 0, again.stderr
    assert lingbot("diff", str(one), str(two), "--min-psnr", "50").code == 0


@pytest.mark.parametrize(
    ("lines", "frames"),
    [
        (['{"timeline": 1, "prompt": "a court"}', '{"keys": "w", "for": "7f"}', '{"end": true}'], 7),
        (['{"keys": "w"}', '{"end": true}'], 0),
        ([], 0),
    ],
)
def test_an_end_waits_for_the_spans_and_no_frame_is_an_error(
    tmp_path, small_picture, streaming, decode, lines, frames
):
    record = tmp_path / "made.mkv"
    stream = streaming(
        *(small_picture, "-t", "-", *SMALL, "--json", "--record", record, "--to", "null:"),
        stdin=subprocess.PIPE,
    )
    stream.process.stdin.write("".join(f"{line}\n" for line in lines))
    stream.process.stdin.close()
    assert stream.end() == (0 if frames else 2)
    assert bool(stream.said("done")) == bool(frames)
    if frames:
        assert len(decode(record, 32, 32)) == frames
    else:
        assert "before its first frame" in stream.said("error")[0]["message"]
        assert not list(tmp_path.glob("made*"))
