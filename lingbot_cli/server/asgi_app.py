"""ASGI application of the server: page, model list, realtime endpoint, health and metrics."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from lingbot_cli.camera.keys import WALK_UNITS_PER_FRAME
from lingbot_cli.endpoints import GENERATE_PATH, MODELS_PATH
from lingbot_cli.server.auth import (
    PUBLIC_PATHS,
    AccessMiddleware,
    AccessRules,
    accepted_subprotocol,
)
from lingbot_cli.server.connection import Connection
from lingbot_cli.server.page import page_document
from lingbot_cli.server.service import ModelService
from lingbot_cli.server.session_pool import SessionPool

# Scenes that the built-in model was trained on.
SUGGESTED_PROMPTS = {
    "day": "a stone courtyard by day",
    "dusk": "a stone courtyard at dusk",
    "night": "a stone courtyard at night",
    "snow": "a stone courtyard in snow",
}
RESPONSE_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # the URL holds the token
    "X-Content-Type-Options": "nosniff",
}


def page_response(page_data: dict[str, object]) -> Response:
    """Return the page with its data, under a policy that lets it load nothing from other origins."""
    html, policy = page_document(page_data)
    return HTMLResponse(html, headers={**RESPONSE_HEADERS, "Content-Security-Policy": policy})


def play_page_data(model: dict[str, Any]) -> dict[str, Any]:
    """Return the data of the page in its playing mode; the built-in model has prompts to suggest."""
    suggestions = SUGGESTED_PROMPTS if model["id"] == "built-in" else {}
    return {
        "mode": "play",
        "route": GENERATE_PATH,
        "model": model,
        "walk_speed": WALK_UNITS_PER_FRAME,
        "suggestions": [{"label": label, "prompt": prompt} for label, prompt in suggestions.items()],
    }


def server_app(service: ModelService, rules: AccessRules, pool: SessionPool) -> Starlette:
    """Create the ASGI application that serves one model."""

    async def page(_request: Request) -> Response:
        return page_response(play_page_data(service.model_info()))

    async def models(_request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [service.model_info()]}, headers=RESPONSE_HEADERS)

    async def model_by_id(request: Request) -> Response:
        info = service.model_info()
        if request.path_params["model"] == info["id"]:
            return JSONResponse(info, headers=RESPONSE_HEADERS)
        error = {
            "message": f"the model {request.path_params['model'][:100]!r} is not served here",
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found",
        }
        return JSONResponse({"error": error}, 404, headers=RESPONSE_HEADERS)

    async def server_info(_request: Request) -> Response:
        name = service.model_info()["id"]
        return JSONResponse({"model_path": name, "served_model_name": name}, headers=RESPONSE_HEADERS)

    async def health(_request: Request) -> Response:
        return JSONResponse({"status": "ok", "free": pool.free}, headers=RESPONSE_HEADERS)

    async def prometheus(_request: Request) -> Response:
        return Response(pool.metrics.text(), media_type="text/plain; version=0.0.4", headers=RESPONSE_HEADERS)

    async def generate(socket: WebSocket) -> None:
        await socket.accept(accepted_subprotocol(socket.scope.get("subprotocols", ())))
        await Connection(socket, pool, service).run()

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        pool.close()

    routes = [
        Route("/", page),
        Route(MODELS_PATH, models),
        Route("/models", models),
        Route(f"{MODELS_PATH}/{{model:path}}", model_by_id),
        Route("/server_info", server_info),
        *[Route(path, health) for path in PUBLIC_PATHS],
        Route("/metrics", prometheus),
        WebSocketRoute(GENERATE_PATH, generate),
    ]
    # The first is the outermost: a denied request also shows the browser that its origin is allowed.
    middleware = [
        Middleware(CORSMiddleware, allow_origins=rules.origins, allow_methods=["GET"], allow_headers=["*"]),
        Middleware(AccessMiddleware, rules=rules),
    ]
    return Starlette(routes=routes, middleware=middleware, lifespan=lifespan)
