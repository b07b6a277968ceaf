"""Who may speak to the server: a token on everything, a Host that is ours, an Origin that is allowed."""

import ipaddress
import secrets
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from lingbot_cli.endpoints import SUBPROTOCOL, TOKEN_PREFIX


def new_token() -> str:
    """A token nobody guesses."""
    return secrets.token_urlsafe(24)


@dataclass(frozen=True)
class Rules:
    """What is let in. `hosts` and `origins` are allowed besides this machine's own."""

    token: str = field(repr=False)
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()

    def denial(self, headers: Mapping[str, str], query: str) -> tuple[int, str] | None:
        """The HTTP status and the reason a request is turned away with, or None."""
        host = headers.get("host", "")
        if not self._our_host(host):
            return 421, "this Host is not served here; name it with --allow-host"
        origin = headers.get("origin")
        if origin is not None and origin not in self.origins and urlsplit(origin).netloc != host:
            return 403, "this Origin is not allowed here; name it with --allow-origin"
        offered = _offered(headers, query)
        if not any(secrets.compare_digest(one.encode(), self.token.encode()) for one in offered):
            return 401, "the token is missing or wrong; take the whole address the server printed"
        return None

    def _our_host(self, host: str) -> bool:
        """Addresses are ours whatever they are; names only if known, or another site could borrow us."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in ("localhost", socket.gethostname().lower(), *(own.lower() for own in self.hosts)):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _offered(headers: Mapping[str, str], query: str) -> Iterable[str]:
    yield from parse_qs(query, max_num_fields=50).get("token", ())
    scheme, _, credential = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        yield credential.strip()
    for protocol in headers.get("sec-websocket-protocol", "").split(","):
        if protocol.strip().startswith(TOKEN_PREFIX):
            said = protocol.strip().removeprefix(TOKEN_PREFIX)
            yield said
            yield unquote(said)  # a page must quote what a subprotocol cannot hold


def accepted_subprotocol(offered: Iterable[str]) -> str | None:
    """What a WebSocket is accepted with: our subprotocol where the client speaks it, never the token."""
    return SUBPROTOCOL if SUBPROTOCOL in offered else None


class AccessMiddleware:
    """ASGI middleware: turns away by HTTP status, before a WebSocket is accepted."""

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self._app = app
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            query = scope["query_string"].decode("latin-1")
            denial = self._rules.denial(Headers(scope=scope), query)
        except ValueError:
            denial = 400, "the address cannot be read"
        if denial is None:
            await self._app(scope, receive, send)
            return
        status, reason = denial
        headers = {"www-authenticate": "Bearer"} if status == 401 else {}
        await PlainTextResponse(reason + "\n", status, headers)(scope, receive, send)
