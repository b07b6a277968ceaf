"""Client of a remote engine: its address, token and model information."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http.client import HTTPException
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlencode, urlsplit

from lingbot_cli.checkpoints.checkpoint import Difference
from lingbot_cli.endpoints import GENERATE_PATH, MODELS_PATH
from lingbot_cli.errors import StreamLostError, UsageError
from lingbot_cli.presets import PRESETS, Preset

REQUEST_TIMEOUT_S = 30.0
MAX_RESPONSE_BYTES = 2**20
_EXACT_POSES = "controls"  # in the offers of a server that takes exact poses
_NUMBER_RANGES = {"chunk": range(1, 65), "fps": range(1, 121), "area": range(256, 2**26)}
_SCHEMES = {"ws": "http", "wss": "https"}


@dataclass(frozen=True)
class EngineAddress:
    """`ws://` or `wss://` address without the token, which is sent as a header."""

    address: str
    token: str = field(default="", repr=False)

    @classmethod
    def parse(cls, text: str, environ: Mapping[str, str]) -> "EngineAddress":
        """Parse the value of `--engine`; the token is LINGBOT_TOKEN's, or the address's query or password."""
        try:
            parts = _split_address(text)
        except ValueError:
            raise UsageError(
                f"--engine {text}: not an engine address", hint="use ws://HOST:PORT or wss://HOST:PORT"
            ) from None
        query = parse_qs(parts.query)
        token = "".join(query.pop("token", ())) or unquote(parts.password or "")
        token = environ.get("LINGBOT_TOKEN", "") or token
        path = "" if parts.path in ("", "/", GENERATE_PATH) else parts.path.removesuffix(GENERATE_PATH)
        bare = parts._replace(
            netloc=parts.netloc.rpartition("@")[2], path=path, query=urlencode(query, doseq=True), fragment=""
        )
        return cls(bare.geturl(), token)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def websocket_url(self, resume_key: str | None = None) -> str:
        """Return the address of the realtime endpoint; a balancer finds the server that a resume key names."""
        url = self._url(GENERATE_PATH, secure_http=False)
        server, _, signed = (resume_key or "").partition(".")
        if not (server and "." in signed):
            return url
        return f"{url}{'&' if '?' in url else '?'}{urlencode({'server': server})}"

    def fetch_info(self) -> "ServerInfo":
        """Request the model information. Errors: StreamLostError without an answer, UsageError when denied."""
        request = urllib.request.Request(self._url(MODELS_PATH, secure_http=True), headers=self.headers)
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_TIMEOUT_S) as response:
                entries = json.loads(response.read(MAX_RESPONSE_BYTES))["data"]
            return ServerInfo(**_model_fields(entries[0]))
        except urllib.error.HTTPError as error:
            answer = f"{self.address} answers {error.code} {error.reason}"
            if error.code >= 500:
                raise StreamLostError(answer) from error
            hint = "set LINGBOT_TOKEN to the token that the server printed" if error.code == 401 else None
            raise UsageError(answer, hint=hint) from error
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise StreamLostError(f"{self.address} does not answer: {reason}") from error
        except (HTTPException, ValueError, LookupError, TypeError, RecursionError) as error:
            raise StreamLostError(f"{self.address} does not speak the realtime protocol") from error

    def _url(self, path: str, *, secure_http: bool) -> str:
        parts = urlsplit(self.address)
        scheme = _SCHEMES[parts.scheme] if secure_http else parts.scheme
        return parts._replace(scheme=scheme, path=parts.path.rstrip("/") + path).geturl()


@dataclass(frozen=True)
class ServerInfo:
    """Model of a server; `exact` when it takes the exact poses of whole chunks."""

    name: str
    chunk: int | None = None
    fps: int | None = None
    area: int | None = None
    licence: str | None = None
    trained: bool = True
    identity: str = ""
    exact: bool = False

    def resolve_model(self, model: str | None) -> "RemoteModel":
        """Return the model to plan with; `model` names a preset like it where the server's name is unknown."""
        served = self.name.split("/")[-1]
        served = served if served in PRESETS else served.removesuffix("-diffusers")
        name = model if model is not None else served
        if name not in PRESETS:
            raise UsageError(
                f"the engine serves '{self.name[:80]}', which is not a known preset",
                hint=f"name the preset that it is like: --model {' | '.join(PRESETS)}",
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
    """Model on a server, as videos are planned with it."""

    preset: Preset
    trained: bool
    identity: str
    text_identity: str = ""
    fp8: bool = False
    differences: tuple[Difference, ...] = ()
    block_bytes: int | None = None
    text_bytes: int | None = None


@dataclass(frozen=True)
class RemoteTarget:
    """Engine that renders, and its model; `exact` when it takes the exact poses of whole chunks."""

    engine: EngineAddress
    model: RemoteModel
    exact: bool

    @classmethod
    def connect(
        cls, text: str | None, model: str | None, environ: Mapping[str, str]
    ) -> "RemoteTarget | None":
        """Request the model of the engine that `--engine` names; None without one."""
        if text is None:
            return None
        engine = EngineAddress.parse(text, environ)
        info = engine.fetch_info()
        return cls(engine, info.resolve_model(model), info.exact)


def _split_address(text: str) -> SplitResult:
    """Split an engine's address; ValueError when it is invalid."""
    parts = urlsplit(text)
    if parts.scheme not in _SCHEMES or not parts.hostname or parts.port == 0:
        raise ValueError(text)
    if re.search(r"[^!-~]", parts.path):
        raise ValueError(text)
    parts.hostname.encode("idna")  # ValueError for a name that cannot be looked up
    return parts


def _model_fields(model: object) -> dict[str, Any]:
    if not isinstance(model, dict):
        raise ValueError("the model is no map")
    numbers = {key: model[key] for key in _NUMBER_RANGES if type(model.get(key)) is int}
    for key, value in numbers.items():
        if value not in _NUMBER_RANGES[key]:
            raise ValueError(f"{key} is {value}")
    texts = {key: model[key] for key in ("licence", "identity") if isinstance(model.get(key), str)}
    offers = model.get("offers")
    return {
        "name": str(model["id"]),
        "trained": model.get("trained") is not False,
        "exact": isinstance(offers, list) and _EXACT_POSES in offers,
        **numbers,
        **texts,
    }
