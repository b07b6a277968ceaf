"""Access control of the server: token, Host and Origin of every request, and signed resume keys."""

import base64
import binascii
import contextlib
import hashlib
import hmac
import ipaddress
import logging
import re
import secrets
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from lingbot_cli.endpoints import SUBPROTOCOL, TOKEN_PREFIX
from lingbot_cli.errors import UsageError

log = logging.getLogger("lingbot.server")

PUBLIC_PATHS = ("/health", "/healthz", "/liveness")
SIGNATURE_BYTES = 12


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address to listen on."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def new_token() -> str:
    """Return a random token."""
    return secrets.token_urlsafe(24)


@dataclass(frozen=True)
class AccessRules:
    """Token, None where everybody on this machine is admitted, and `hosts` and `origins` besides its own.

    `per_address`: connections of one address at a time, 0 for no limit.
    """

    token: str | None = field(repr=False)
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    per_address: int = 64

    def denial(
        self, headers: Mapping[str, str], query: str, *, public: bool = False
    ) -> tuple[int, str] | None:
        """Return the HTTP status and the reason to deny a request with; None to allow it.

        A `public` path needs no token.
        """
        host = headers.get("host", "")
        if not self._is_allowed_host(host):
            return 421, "this Host is not served here; name it with --allow-host"
        origin = headers.get("origin")
        if origin is not None and origin not in self.origins and urlsplit(origin).netloc != host:
            return 403, "this Origin is not allowed here; name it with --allow-origin"
        if public or self.token is None:
            return None
        expected = self.token.encode()
        if not any(secrets.compare_digest(token.encode(), expected) for token in _tokens(headers, query)):
            return 401, "the token is missing or wrong; use the whole address that the server printed"
        return None

    def _is_allowed_host(self, host: str) -> bool:
        """Allow every IP address, but only known names, which stops DNS rebinding."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in ("localhost", socket.gethostname().lower(), *(host.lower() for host in self.hosts)):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _tokens(headers: Mapping[str, str], query: str) -> Iterable[str]:
    yield from parse_qs(query, max_num_fields=50).get("token", ())
    scheme, _, credential = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        yield credential.strip()
    elif scheme.lower() == "basic":  # of an address such as ws://x:TOKEN@host
        with contextlib.suppress(binascii.Error, UnicodeDecodeError):
            yield base64.b64decode(credential.strip(), validate=True).decode().partition(":")[2]
    for protocol in headers.get("sec-websocket-protocol", "").split(","):
        if protocol.strip().startswith(TOKEN_PREFIX):
            token = protocol.strip().removeprefix(TOKEN_PREFIX)
            yield token
            yield unquote(token)  # pages percent-encode characters that a subprotocol must not have


def accepted_subprotocol(offered: Iterable[str]) -> str | None:
    """Return the subprotocol to accept a WebSocket with, which is never the token."""
    return SUBPROTOCOL if SUBPROTOCOL in offered else None


class AccessMiddleware:
    """ASGI middleware that denies requests with an HTTP status, before a WebSocket is accepted.

    Paths of `PUBLIC_PATHS` need no token; their answers name neither the model nor its clients, only how
    many more may play.
    """

    def __init__(self, app: ASGIApp, rules: AccessRules) -> None:
        self._app = app
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            query = scope["query_string"].decode("latin-1")
            public = scope["type"] == "http" and scope["path"] in PUBLIC_PATHS
            denial = self._rules.denial(Headers(scope=scope), query, public=public)
        except ValueError:
            denial = 400, "the address cannot be read"
        if denial is None:
            await self._app(scope, receive, send)
            return
        status, reason = denial
        client = (scope.get("client") or ("unknown",))[0]
        log.warning("denied %s %.100r with %d: %s", client, scope["path"], status, reason)
        headers = {"www-authenticate": "Bearer"} if status == 401 else {}
        await PlainTextResponse(reason + "\n", status, headers)(scope, receive, send)


class ResumeKeys:
    """Keys `server.random.signature`; servers that share the access token verify each other's.

    `secret`: the access token, None for a random one.
    """

    def __init__(self, server: str = "", secret: str | None = None) -> None:
        self.server = server
        self._secret = (secret or secrets.token_urlsafe(24)).encode()

    def new(self) -> str:
        """Return a new key of this server."""
        unsigned = f"{self.server}.{secrets.token_urlsafe(18)}"
        return f"{unsigned}.{self._signature(unsigned)}"

    def server_of(self, key: str) -> str | None:
        """Return the server that a key names; None for a key that none of the servers has made."""
        unsigned, _, signature = key.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(unsigned).encode()):
            return None
        return unsigned.partition(".")[0]

    def _signature(self, unsigned: str) -> str:
        message = f"lingbot resume key {unsigned}".encode()
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()[: 2 * SIGNATURE_BYTES]


def check_server_name(name: str) -> str:
    """Return a valid name of a server. Errors: UsageError."""
    if not re.fullmatch(r"[A-Za-z0-9-]{0,63}", name):
        raise UsageError(
            f"--name {name[:80]}: not a name", hint="use letters, digits and hyphens, at most 63"
        )
    return name
