"""Where a remote engine is, and what it says of itself."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http.client import HTTPException
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlencode, urlsplit

from lingbot_cli.checkpoints.checkpoint import Difference
from lingbot_cli.endpoints import GENERATE_PATH, MODELS_PATH
from lingbot_cli.errors import StreamLostError, UsageError
from lingbot_cli.presets import PRESETS, Preset

REQUEST_TIMEOUT_S = 30.0
MAX_RESPONSE_BYTES = 2**20
_EXACT_POSES = "controls"  # what a server that takes exact poses names among its offers
_SCHEMES = {"ws": "http", "wss": "https"}


@dataclass(frozen=True)
class EngineAddress:
    """A server by its `ws://` or `wss://` address, without its token; `token` is sent as a header."""

    address: str
    token: str = field(default="", repr=False)

    @classmethod
    def of(cls, text: str, environ: Mapping[str, str]) -> "EngineAddress":
        """An engine as `--engine` names it; the token from LINGBOT_TOKEN, or from the address."""
        try:
            parts = _split_address(text)
        except ValueError:
            raise UsageError(
                f"--engine {text}: not an engine", hint="write ws://HOST:PORT or wss://HOST:PORT"
            ) from None
        query = parse_qs(parts.query)
        token = environ.get("LINGBOT_TOKEN", "") or "".join(query.pop("token", ()))
        path = "" if parts.path in ("", "/", GENERATE_PATH) else parts.path.removesuffix(GENERATE_PATH)
        bare = parts._replace(path=path, query=urlencode(query, doseq=True), fragment="")
        return cls(bare.geturl(), token)

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    @property
    def realtime(self) -> str:
        """The WebSocket's address."""
        return self._at(GENERATE_PATH, secure_http=False)

    def served(self) -> "ServerInfo":
        """What the server serves. Errors: StreamLostError when it does not answer, UsageError when it refuses."""
        request = urllib.request.Request(self._at(MODELS_PATH, secure_http=True), headers=self.headers)
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_TIMEOUT_S) as answer:
                said = json.loads(answer.read(MAX_RESPONSE_BYTES))
            return ServerInfo(**_model_fields(said["data"][0]))
        except urllib.error.HTTPError as refused:
            hint = "set LINGBOT_TOKEN to what the server printed" if refused.code == 401 else None
            raise UsageError(
                f"{self.address} answers {refused.code} {refused.reason}", hint=hint
            ) from refused
        except OSError as gone:
            reason = getattr(gone, "reason", gone)
            raise StreamLostError(f"{self.address} does not answer: {reason}") from gone
        except (HTTPException, ValueError, LookupError, TypeError, RecursionError) as strange:
            raise StreamLostError(f"{self.address} does not speak the realtime protocol") from strange

    def _at(self, path: str, *, secure_http: bool) -> str:
        parts = urlsplit(self.address)
        scheme = _SCHEMES[parts.scheme] if secure_http else parts.scheme
        return parts._replace(scheme=scheme, path=parts.path.rstrip("/") + path).geturl()


@dataclass(frozen=True)
class ServerInfo:
    """A server's model: `exact` says that it takes whole chunks of poses, one event each."""

    name: str
    chunk: int | None = None
    fps: int | None = None
    area: int | None = None
    licence: str | None = None
    trained: bool = True
    identity: str = ""
    exact: bool = False

    def described(self, model: str | None) -> "RemoteModel":
        """What plans its films; `model` names a preset like it where the server says none that is known."""
        name = model if model is not None else self.name.split("/")[-1].removesuffix("-diffusers")
        if name not in PRESETS:
            raise UsageError(
                f"the engine serves '{self.name[:80]}', which is no preset here",
                hint=f"say which one it is like: --model {' | '.join(PRESETS)}",
            )
        like = PRESETS[name]
        preset = replace(
            like,
            chunk=self.chunk or like.chunk,
            fps=self.fps or like.fps,
            area=self.area or like.area,
            licence=self.licence or like.licence,
        )
        return RemoteModel(preset, self.trained, self.identity)


@dataclass(frozen=True)
class RemoteModel:
    """A model that runs elsewhere, as films are planned with it."""

    preset: Preset
    trained: bool
    identity: str
    text_identity: str = ""
    fp8: bool = False
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True)
class RemoteTarget:
    """Where a film's model runs, when not here; `exact`: it takes whole chunks of poses."""

    engine: EngineAddress
    model: RemoteModel
    exact: bool

    @classmethod
    def of(cls, text: str | None, model: str | None, environ: Mapping[str, str]) -> "RemoteTarget | None":
        """What `--engine` names, asked what it serves; None without one. `model` as in `Served.described`."""
        if text is None:
            return None
        engine = EngineAddress.of(text, environ)
        served = engine.served()
        return cls(engine, served.described(model), served.exact)


def _split_address(text: str) -> SplitResult:
    """An engine's address in its parts; ValueError when it is none."""
    parts = urlsplit(text)
    if parts.scheme not in _SCHEMES or not parts.hostname or parts.port == 0:
        raise ValueError(text)
    if re.search(r"[^!-~]", parts.path):
        raise ValueError(text)
    parts.hostname.encode("idna")  # as it is looked up
    return parts


def _model_fields(model: dict[str, Any]) -> dict[str, Any]:
    numbers = {key: model[key] for key in ("chunk", "fps", "area") if type(model.get(key)) is int}
    texts = {key: model[key] for key in ("licence", "identity") if isinstance(model.get(key), str)}
    offers = model.get("offers")
    return {
        "name": str(model["id"]),
        "trained": model.get("trained") is not False,
        "exact": isinstance(offers, list) and _EXACT_POSES in offers,
        **numbers,
        **texts,
    }
