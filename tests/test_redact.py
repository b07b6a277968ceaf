"""Secrets leave no trace in text."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lingbot_cli.redact import redact

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
