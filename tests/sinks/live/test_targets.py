"""Targets of a stream: invalid addresses, servers that refuse or do not answer, several at once."""

import os

import pytest

from lingbot_cli.errors import LingbotError, StreamLostError, UsageError
from lingbot_cli.sinks.live.targets import StreamOptions, choose_target, read_urls, start_all
from tests.support.live_outputs import STILL, VIDEO, silent_listener, start
from tests.support.rtmp_server import free_port


def test_an_unreachable_target_fails_at_the_start(server):
    wrong = server.url.replace("first-key", "secret-bad-key")
    with silent_listener() as silent:
        cases = [
            (wrong, "refuses the stream key: the server closed the connection"),
            (wrong.replace("/live/", "/none/"), "refuses the app"),
            (
                f"rtmp://127.0.0.1:{free_port()}/live/secret-bad-key",
                "could not be reached: connection refused",
            ),
            (f"rtmp://127.0.0.1:{silent.getsockname()[1]}/live/secret-bad-key", "no answer"),
            (wrong.replace("rtmp:", "rtmps:"), "could not be reached"),
            (f"srt://127.0.0.1:{free_port()}?streamid=secret-bad-key", "srt://127.0.0.1"),
        ]
        for url, error in cases:
            with pytest.raises(StreamLostError, match=error) as failure:
                start(url)
            assert "secret-bad-key" not in f"{failure.value} {failure.value.hint}"


@pytest.mark.parametrize(
    "url",
    [
        "rtmp://host/secret",
        "srt://:9000?streamid=secret",
        "rtmp://host:99999/app/secret",
        "srt://host?streamid=secret",
        "http://host/app/secret",
        "host/app/secret",
    ],
)
def test_an_invalid_address_is_refused_without_its_key(url):
    with pytest.raises(UsageError) as failure:
        choose_target(url, StreamOptions(), os.environ)
    assert "secret" not in f"{failure.value} {failure.value.hint}"
    assert str(failure.value).startswith("--to")


def test_several_targets_of_which_one_is_unreachable(server, tmp_path):
    urls = [server.url, "null:", str(tmp_path / "a.mkv"), f"rtmp://127.0.0.1:{free_port()}/live/key"]
    targets = [choose_target(url, StreamOptions(), os.environ) for url in urls]
    with pytest.raises(StreamLostError, match="connection refused"):
        start_all(targets, VIDEO, STILL, [].append)
    outputs = start_all(targets[:2], VIDEO, STILL, [].append)
    assert [output.stats.connected for output in outputs] == [True, True]
    for output in outputs:
        output.put(STILL)
        output.close()
    with pytest.raises(LingbotError, match="does not exist"):
        start(str(tmp_path / "no" / "a.mkv"))


def test_a_file_with_addresses(tmp_path):
    path = tmp_path / "to"
    path.write_text("\ufeff# mine\nrtmp://a/b/c\n\n  null:  \n", "utf-8")
    assert read_urls(path) == ["rtmp://a/b/c", "null:"]
    path.write_text("#\n")
    with pytest.raises(UsageError, match="no address"):
        read_urls(path)
