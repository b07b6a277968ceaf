"""Errors of `lingbot stream` before it begins."""

import json

import pytest

from lingbot_cli.cli.stream import bitrate_value
from tests.support.command import lingbot
from tests.support.processes import never_created
from tests.support.rtmp_server import RtmpServer, free_port
from tests.support.stream_command import SMALL


def test_a_wrong_key_ends_it_before_anything_is_loaded(tmp_path, small_picture):
    server = RtmpServer(tmp_path / "server")
    to = tmp_path / "to"
    to.write_text(f"{server.url.replace('first', 'wrong')}\n")
    try:
        done = lingbot(
            "--debug", "stream", str(small_picture), "--moves", "w-20", *SMALL, "--to-file", str(to), "--json"
        )
    finally:
        server.stop()
    assert done.code == 5
    assert "refuses the stream key" in done.stderr
    assert "check the key" in done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["event"] for each in events] == ["plan", "warning", "error"]
    assert events[2]["exit_code"] == 5
    assert "wrong-key" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--moves", "w-5"), "--to is required"),
        (("--moves", "w-5", "--to", "null:", "--to", "null:"), "named twice"),
        (("--moves", "w-5", "--to", "a.m3u8", "--to", "./a.m3u8"), "the same place as --to a.m3u8"),
        (("--moves", "w-5", "--to", "rtmp://host/key-only"), "incomplete RTMP address"),
        (("-t", "-", "--loop", "--to", "null:"), "--loop needs a timeline that ends"),
        (
            ("--moves", "w-5", "--save-timeline", "a.jsonl", "--to", "null:"),
            "--save-timeline needs --timeline -",
        ),
        (("--moves", "x-5", "--to", "null:"), "unknown key letter"),
        (("--poses", ".", "--loop", "--to", "null:"), "--loop cannot be used with"),
        (("--to", "null:"), "no camera given"),
    ],
)
def test_mistakes_are_refused(small_picture, arguments, message):
    done = lingbot("stream", str(small_picture), *arguments)
    assert done.code == 2
    assert message in done.stderr


def test_a_refused_stream_keeps_the_playlist_that_it_was_to_overwrite(small_picture, tmp_path):
    playlist = tmp_path / "index.m3u8"
    playlist.write_text("#EXTM3U")
    done = lingbot(
        *("stream", str(small_picture), "--moves", "x-5", "--to", str(playlist), "--overwrite"),
    )
    assert done.code == 2
    assert playlist.read_text() == "#EXTM3U"


URL = "rtmp://host/live/a-secret"


@pytest.mark.parametrize(
    "arguments",
    [
        ("first.png", "--moves", "w-5", "--to-file", URL),
        ("first.png", "--moves", "w-5", "--to", "null:", "--record", URL),
        ("first.png", "--moves", "w-5", "--to", "null:", "--record", f"{URL}.mkv"),
        (URL, "--moves", "w-5", "--to", "null:"),
        ("first.png", "--moves", "w-5", "--to", "null:", URL),
        ("first.png", "--moves", "w-5", "--to", "null:", "--pace", URL),
        ("first.png", "--moves", "w-5", "--to", "null:", f"--{URL}"),
    ],
)
def test_an_address_in_the_wrong_place_keeps_its_key(small_picture, monkeypatch, capsys, arguments):
    monkeypatch.chdir(small_picture.parent)
    done = lingbot("stream", *arguments)
    printed = capsys.readouterr()
    message = done.stdout + done.stderr + printed.out + printed.err
    assert done.code in (2, 4)
    assert "rtmp:/" in message
    assert "secret" not in message


def test_a_command_that_is_an_address_keeps_its_key(capsys):
    done = lingbot(URL)
    printed = capsys.readouterr()
    assert done.code == 2
    assert "rtmp:/" in done.stderr
    assert "secret" not in printed.out + printed.err + done.stdout + done.stderr


def test_a_stream_that_cannot_begin_leaves_no_film_under_its_name(tmp_path, small_picture):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has what is lacked here")
    films = [tmp_path / "a.mkv", tmp_path / "b.mp4"]
    to = [word for film in films for word in ("--to", str(film))]
    with never_created(films[0]), never_created(films[1]):
        done = lingbot("stream", str(small_picture), "--moves", "w-20", *SMALL, *to, "--device", "cuda")
    assert done.code == 3
    assert not [film for film in films if film.exists()]


def test_a_port_nobody_listens_on(small_picture):
    done = lingbot(
        "stream", str(small_picture), "--moves", "w-5", "--to", f"rtmp://127.0.0.1:{free_port()}/app/a-secret"
    )
    assert done.code == 5
    assert "connection refused" in done.stderr
    assert "a-secret" not in done.stderr


def test_events_that_could_not_be_written_down_are_not_waited_for(small_picture, tmp_path):
    where = tmp_path / "gone" / "a.jsonl"
    done = lingbot("stream", str(small_picture), "-t", "-", "--save-timeline", str(where), "--to", "null:")
    assert done.code == 4
    assert f"the folder {where.parent} does not exist" in done.stderr


def test_bit_rates_as_people_write_them():
    assert {bitrate_value(text) for text in ("2500", "2500k", "2.5M", "2500kbit/s")} == {2500}
