"""ASGI application of the server: page, model list, realtime endpoint, health and metrics."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from lingbot_cli.endpoints import GENERATE_PATH, MODELS_PATH
from lingbot_cli.server.auth import PUBLIC_PATHS, AccessMiddleware, AccessRules, accepted_subprotocol
from lingbot_cli.server.connection import Connection
from lingbot_cli.server.page import page_document, play_page_data, sample_path
from lingbot_cli.server.service import ModelService
from lingbot_cli.server.session_pool import SessionPool

RESPONSE_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # the URL holds the token
    "X-Content-Type-Options": "nosniff",
}

_ENDING = PlainTextResponse("this server is ending\n", 503)
"""Answer to a WebSocket before it is accepted, so that a balancer takes another server."""


def page_response(page_data: dict[str, object]) -> Response:
    """Return the page with its data, under a policy that lets it load nothing from other origins."""
    html, policy = page_document(page_data)
    return HTMLResponse(html, headers={**RESPONSE_HEADERS, "Content-Security-Policy": policy})


async def sample_image(request: Request) -> Response:
    """Send a sample of the start screen."""
    path = sample_path(request.path_params["name"])
    if path is None:
        return JSONResponse({"error": "no such sample"}, 404, headers=RESPONSE_HEADERS)
    return FileResponse(path, headers=RESPONSE_HEADERS)


def _may_resume(socket: WebSocket, server: str) -> bool:
    """Return whether a client may have a session here: one that names this server, or any if it has no name."""
    return not server or socket.query_params.get("server") == server


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
        content = {"status": "draining" if pool.draining else "ok", "free": pool.free}
        return JSONResponse(content, 503 if pool.draining else 200, headers=RESPONSE_HEADERS)

    async def prometheus(_request: Request) -> Response:
        return Response(pool.metrics.text(), media_type="text/plain; version=0.0.4", headers=RESPONSE_HEADERS)

    async def generate(socket: WebSocket) -> None:
        if pool.draining and not _may_resume(socket, service.resume_keys.server):
            return await _ENDING(socket.scope, socket.receive, socket.send)
        await socket.accept(accepted_subprotocol(socket.scope.get("subprotocols", ())))
        return await Connection(socket, pool, service).run()

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        pool.close()

    routes = [
        Route("/", page),
        Route("/samples/{name}", sample_image),
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
