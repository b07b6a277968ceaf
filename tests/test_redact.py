"""Secrets leave no trace in text."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lingbot_cli.redact import HIDDEN, redact

KEYS = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-_", min_size=12, max_size=40)


@pytest.mark.parametrize(
    "form",
    [
        "rtmp://a.rtmp.example/live2/{}",
        "rtmps://live.example:443/app/{}?bandwidth=1",
        "Opening rtmp://host/app/x/{} for writing",
        "--record rtmp:/host/app/{}",
        "rtmps:/user:{}@host/app/x",
        "srt:/host:1?streamid={}",
        "srt://host:1?passphrase=ab'{}",
        "'srt://host:1?passphrase=ab\"{}&latency=2':",
        "Error opening output srt://host:1?streamid=#!::r=a;m={}: no.",
        "ws://127.0.0.1:9/v1?token={}",
        "srt://host:1?mode=caller&passphrase={}&latency=2",
        "https://user:{}@host/x",
        "Authorization: Bearer {}",
        "token hf_{}",
    ],
)
@settings(deadline=None)
@given(key=KEYS)
def test_the_key_is_hidden_and_the_rest_stays(form, key):
    key = key.replace("-", "x").replace("_", "y")
    assume(key not in form)
    text = redact("before " + form.format(key) + " after")
    assert key not in text
    assert text.startswith("before ")
    assert text.endswith(" after")


@settings(deadline=None)
@given(key=KEYS)
def test_a_known_secret_is_hidden_anywhere(key):
    assert key not in redact(f"<<{key}>>", [key])


@pytest.mark.parametrize(
    "text", ["frames/%05d.png", "https://example.org/a?b=c", "C:\\films\\a.mp4", "key=w", "a monkey=3"]
)
def test_plain_text_is_untouched(text):
    assert redact(text) == text


PLACEHOLDERS = [
    "use rtmp://HOST/APP/KEY with the server and the stream key of your service",
    "use --to rtmp://HOST/APP/KEY, --to-file, or LINGBOT_STREAM_URL",
    "lingbot stream a.png --loop --to rtmp://HOST/APP/KEY",
    "'rtmps://HOST/APP/KEY'",
    "use rtmp://HOST/APP/KEY, rtmps://…, srt://HOST:PORT, a file such as a.mp4, or null:",
    "srt://HOST:PORT?passphrase=PASSPHRASE&latency=2",
    "use ws://HOST:PORT or wss://HOST:PORT",
    "ws://HOST:PORT/v1?token=TOKEN",
    "https://USER:PASSWORD@HOST/x",
    "Authorization: Bearer TOKEN",
]


@pytest.mark.parametrize("text", PLACEHOLDERS)
def test_placeholders_of_hints_stay(text):
    assert redact(text) == text


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("rtmp://HOST/APP/KEY2", "KEY2"),
        ("rtmp://HOST/APP/KEYabc", "KEYabc"),
        ("rtmp://HOST/APP/KEY-abc", "KEY-abc"),
        ("rtmp://HOST/APP/KEY/abc", "KEY/abc"),
        ("rtmp://HOST/APP/KEY?abc", "KEY?abc"),
        ("rtmp://host/app/key", "/key"),
        ("rtmp://HOST/APP/key", "/key"),
        ("rtmp://live.example/APP/KEY", "/KEY"),
        ("rtmp://HOST/live/KEY", "/KEY"),
        ("rtmp://HOST/APP/hunter2", "hunter2"),
        ("ws://HOST:PORT/v1?token=token", "=token"),
        ("ws://HOST:PORT/v1?token=TOKEN1", "TOKEN1"),
        ("ws://HOST:PORT/v1?token=TOKEN-1", "TOKEN-1"),
        ("srt://HOST:PORT?passphrase=passphrase", "=passphrase"),
        ("srt://HOST:PORT?passphrase=PASSPHRASES", "PASSPHRASES"),
        ("https://USER:PASSWORD1@HOST/x", "PASSWORD1"),
        ("https://USER:hunter2@HOST/x", "hunter2"),
        ("https://user:password@host/x", "password"),
        ("Bearer TOKEN2", "TOKEN2"),
    ],
)
def test_what_is_nearly_a_placeholder_is_hidden(text, secret):
    assert secret not in redact(text)
    assert HIDDEN in redact(text)
