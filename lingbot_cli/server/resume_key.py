"""Resume keys: each names its server and is signed, so that several servers behind a balancer know theirs."""

import hashlib
import hmac
import re
import secrets

from lingbot_cli.errors import UsageError

SIGNATURE_BYTES = 12


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
