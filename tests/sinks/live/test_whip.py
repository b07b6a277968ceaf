"""WHIP streams, received by aiortc."""

import logging
import os
import re
import shlex
import urllib.request

import pytest
from starlette.responses import PlainTextResponse, Response

from lingbot_cli.errors import SetupError, StreamLostError, UsageError
from lingbot_cli.redact import redact
from lingbot_cli.sinks import ffmpeg_binary
from lingbot_cli.sinks.live import whip
from lingbot_cli.sinks.live.targets import StreamOptions, choose_target
from lingbot_cli.sinks.live.whip import WhipAddress
from tests.support.live_outputs import Feed, start
from tests.support.processes import children
from tests.support.rtmp_server import until

TOKEN = "ey.long-secret"
logging.getLogger("aiortc").setLevel(logging.ERROR)


@pytest.fixture(scope="module")
def peer():
    from tests.support.whip_server import WhipServer

    server = WhipServer(TOKEN)
    yield server
    server.stop()


def command_lines():
    return [shlex.join(open(f"/proc/{pid}/cmdline").read().split("\0")) for pid in children(os.getpid())]


def test_a_server_receives_frames_and_sound_until_the_session_is_deleted(peer):
    output = start(peer.url("room?stream=secret-room").replace("://", f"://{TOKEN}@"))
    with Feed(output):
        until(lambda: len(peer.frames["video"]) > 24 and peer.frames["audio"])
        lines = command_lines()
    assert any("whip" in line for line in lines)
    assert not [line for line in lines if TOKEN in line or "secret-room" in line]
    output.close()
    assert output.stats.sent > 24
    frame, sound = peer.frames["video"][-1], peer.frames["audio"][-1]
    assert (frame.width, frame.height, sound.sample_rate) == (96, 64, 48000)
    assert frame.to_ndarray(format="rgb24").std() > 20  # noise, not black
    assert (len(peer.posts), len(peer.deleted)) == (1, 1)
    assert peer.posts[0]["authorization"] == peer.deleted[0]["authorization"] == f"Bearer {TOKEN}"
    assert peer.posts[0]["url"].endswith("/room?stream=secret-room")
    assert peer.deleted[0]["url"].endswith("/session/1")


def test_a_session_that_the_server_ends_is_begun_again(peer):
    outages = []
    output = start(peer.url().replace("://", f"://{TOKEN}@"), outages, audio=False)
    with Feed(output):
        until(lambda: output.stats.sent > 8)
        began = len(peer.posts)
        peer.hang_up()
        until(lambda: output.stats.reconnects and output.stats.connected, 30)
        count = len(peer.frames["video"])
        until(lambda: len(peer.frames["video"]) > count + 8)
    output.close()
    assert len(peer.posts) == began + 1
    assert len(peer.offers[-1].split("m=video")) == 2
    assert "m=audio" not in peer.offers[-1]
    assert outages[-1].seconds is not None
    assert "was lost" in outages[0].reason


def test_a_redirect_is_followed(peer):
    peer.answers.append(Response(status_code=307, headers={"location": "/other/room"}))
    output = start(peer.url().replace("://", f"://{TOKEN}@"))
    output.abort()
    assert peer.posts[-1]["url"].endswith("/other/room")
    assert peer.posts[-1]["authorization"] == f"Bearer {TOKEN}"
    assert peer.deleted[-1]["url"].endswith(f"/session/{len(peer.offers)}")


def test_the_relay_is_reached_without_a_proxy(peer, monkeypatch):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    monkeypatch.setattr(whip, "_OPENER", opener)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    start(peer.url().replace("://", f"://{TOKEN}@")).abort()
    assert peer.posts[-1]["url"].endswith("/whip/room")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            PlainTextResponse(f"no room for {TOKEN}", 401),
            r"refuses the stream: 401 Unauthorized no room for \*",
        ),
        (PlainTextResponse("<html>", 200), "does not answer as a WHIP server"),
        (Response(status_code=307, headers={"location": "file:///etc/passwd"}), "not HTTP"),
    ],
)
def test_a_refusal_is_named_without_the_token(peer, answer, message):
    peer.answers.append(answer)

    with pytest.raises(StreamLostError, match=message) as refused:
        start(peer.url().replace("://", f"://{TOKEN}@"))
    assert TOKEN not in f"{refused.value}{refused.value.hint}"


def test_a_part_of_the_path_is_in_no_message(peer):
    peer.answers.append(PlainTextResponse("nothing to publish at secret-room", 404))
    with pytest.raises(StreamLostError, match=r"404 Not Found nothing to publish at \*\*\*$"):
        start(peer.url("secret-room/publish?a=b"))


def test_addresses_and_their_secrets():
    address = WhipAddress.parse("whip+https://user:p%40ss@media.example:8889/room/whip?key=abc")
    assert address.name == "whip+https://media.example:8889"
    assert address.url == "https://media.example:8889/room/whip?key=abc"
    assert address.authorization == "Basic dXNlcjpwQHNz"
    assert not re.search("room|p@ss|abc", repr(address))
    text = redact("lingbot stream --to whip+https://tok@host.example/secret/whip?key=abc")
    assert text == "lingbot stream --to whip+https://***@host.example/***"
    for wrong in ("whip+https://", "whip+https://host:x/a", "whip+http://a b/c"):
        with pytest.raises(UsageError, match="incomplete WHIP"):
            choose_target(wrong, StreamOptions(), os.environ)
    for port in (0, 65536):
        with pytest.raises(UsageError, match=f"invalid port {port}"):
            choose_target(f"whip+http://127.0.0.1:{port}/a", StreamOptions(), os.environ)


def test_an_ffmpeg_without_whip_is_named(tmp_path, ffmpeg):
    old = tmp_path / "ffmpeg"
    old.write_text(f'#!/bin/sh\n[ "$2" = -h ] && echo "Unknown format" && exit 0\nexec {ffmpeg} "$@"\n')
    old.chmod(0o755)
    with pytest.raises(SetupError, match="cannot send over WHIP"):
        choose_target("whip+http://127.0.0.1:9/a", StreamOptions(), {"LINGBOT_FFMPEG": str(old)})
    assert ffmpeg_binary.sends_whip(ffmpeg)
