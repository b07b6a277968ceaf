"""RTMP addresses as servers document them: their app, stream key, user and secrets."""

import base64
import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

from lingbot_cli.errors import UsageError

_DEFAULT_PORTS = {"rtmp": 1935, "rtmps": 443}
_URL = re.compile(
    r"(rtmps?)://(?:([^/@\s]*)@)?(\[[^\]@/\s]+\]|[^/@:\s]+)(?::(\d+))?/([^\s?/][^\s?]*)(\?\S*)?", re.I
)
_URL_HINT = (
    "use rtmp://HOST/APP/KEY with the server and the stream key of your service, "
    "or rtmp://HOST/NAME/ for a server without keys"
)


@dataclass(frozen=True)
class RtmpAddress:
    """Address to publish to; `repr` and `name` contain no secret. The `key` may be empty, the app have a query."""

    scheme: str
    host: str
    port: int
    app: str = field(repr=False)
    key: str = field(repr=False)
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str) -> "RtmpAddress":
        """Parse an rtmp:// or rtmps:// URL. Errors: UsageError, without any secret.

        In rtmp://HOST/APP?QUERY/KEY and rtmp://HOST/NAME?QUERY the query is the app's, else the key's.
        """
        match = _URL.fullmatch(url)
        if match is None:
            raise UsageError("--to: incomplete RTMP address", hint=_URL_HINT)
        scheme, login, host, port, path, query = match[1].lower(), *match.groups("")[1:]
        number = int(port) if port else _DEFAULT_PORTS[scheme]
        if not 0 < number < 65536:
            raise UsageError(f"--to: invalid port {number}", hint=_URL_HINT)
        app, slash, key = path.rpartition("/")
        if slash:
            key += query
        elif query:
            app, _, key = (path + query).rpartition("/") if "/" in query else (path + query, "", "")
        else:
            raise UsageError("--to: incomplete RTMP address", hint=_URL_HINT)
        user, _, password = login.partition(":")
        return cls(scheme, host.strip("[]"), number, app, key, unquote(user), unquote(password))

    @property
    def name(self) -> str:
        """Address without key, query and user."""
        return f"{self._server}/{self.app.partition('?')[0]}"

    @property
    def tc_url(self) -> str:
        """Address of the app, with its query."""
        return f"{self._server}/{self.app}"

    @property
    def _server(self) -> str:
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}{port}"

    @property
    def secrets(self) -> list[str]:
        """Key, password and every value of a query, as written and decoded."""
        path, _, query = self.key.partition("?")
        return [self.key, *with_decoded([path, self.password, *query_values(query, self.app)])]


def query_values(*texts: str) -> list[str]:
    """Return the values in the queries of addresses."""
    pairs = [pair.partition("=") for text in texts for pair in re.split("[?&;]", text)]
    return [value for _, equals, value in pairs if equals]


def with_decoded(values: Iterable[str]) -> list[str]:
    """Return values, and those that are percent-encoded decoded too."""
    return [each for value in values for each in {value: None, unquote(value): None}]


def adobe_query(refusal: str, user: str, password: str) -> str | None:
    """Return what to add to the app after a server has refused it for want of a login; None if it did for another.

    The login of FMLE (`authmod=adobe`), in two steps: the server answers the user's name with a salt and a challenge,
    and wants an MD5 of them with the password.
    """
    name = f"?authmod=adobe&user={user}"
    if "reason=needauth" not in refusal:
        return name if "authmod=adobe" in refusal and "code=403" in refusal else None
    asked = dict(parse_qsl(refusal.rpartition("?")[2].partition(" ")[0].replace("+", "%2B")))
    own = secrets.token_hex(4)
    digest = _md5(asked.get("user", user) + asked.get("salt", "") + password)
    opaque = asked.get("opaque", "")
    response = _md5(digest + (opaque or asked.get("challenge", "")) + own)
    return f"{name}&challenge={own}&response={response}" + (f"&opaque={opaque}" if opaque else "")


def _md5(text: str) -> str:
    """Return the base64 of an MD5, the only one that this login knows."""
    return base64.b64encode(hashlib.md5(text.encode(), usedforsecurity=False).digest()).decode()
