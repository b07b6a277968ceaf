"""Keeps stream keys, passwords and tokens out of everything that is printed or written."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

HIDDEN = "***"
_SHORT = 4

# Two slashes, or the one that is left when an address is taken for a file's name.
_RTMP = re.compile(r"(?P<keep>rtmps?:/{1,2}[^/\s'\"]+/[^/\s'\"?]+)/[^\s'\"]+", re.I)
_RTMP_QUERY = re.compile(r"(?P<keep>rtmps?:/{1,2}[^\s'\"?]+\?)[^\s'\"]+", re.I)
_WHIP = re.compile(r"(?P<keep>whip\+https?:/{1,2}[^/\s'\"?]+)/[^\s'\"]+", re.I)
_USERINFO = re.compile(r"(?P<keep>[a-z][a-z0-9+.-]+:/{1,2})[^/\s@'\"]+@", re.I)
_PARAMETER = re.compile(
    r"(?P<keep>[?&;\s'\"](?:[a-z0-9_-]*(?:token|secret|passw(?:or)?d|passphrase|signature|api[_-]?key)|pass"
    r"|key|sig|streamid|auth)=)[^&;\s'\"]+",
    re.I,
)
# To the end of the value, whatever it holds: a quote may close the address, or belong to the secret.
_SRT = re.compile(r"(?P<keep>[?&](?:passphrase|streamid)=)[^&\s]+?(?=[\\'\",.:;()\[\]{}>]*(?:[&\s]|$))", re.I)
_BEARER = re.compile(r"(?P<keep>\bbearer\s+)[^\s'\"]+", re.I)
_HUB_TOKEN = re.compile(r"(?P<keep>)\bhf_[A-Za-z0-9]{8,}")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return `text` without the secrets that URLs, headers and tokens carry, nor any of `secrets`."""
    for secret in sorted((s for s in secrets if s), key=len, reverse=True):
        # A short one would be part of many words.
        whole = r"(?<!\w){}(?!\w)" if len(secret) < _SHORT else "{}"
        text = re.sub(whole.format(re.escape(secret)), HIDDEN, text)
    for address in (_RTMP, _WHIP):
        text = address.sub(rf"\g<keep>/{HIDDEN}", text)
    text = _USERINFO.sub(rf"\g<keep>{HIDDEN}@", text)
    for pattern in (_RTMP_QUERY, _SRT, _PARAMETER, _BEARER, _HUB_TOKEN):
        text = pattern.sub(rf"\g<keep>{HIDDEN}", text)
    return text


def redact_values(value: Any) -> Any:
    """Return plain JSON values without the secrets in their texts and keys."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {redact_values(key): redact_values(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [redact_values(each) for each in value]
    return value
