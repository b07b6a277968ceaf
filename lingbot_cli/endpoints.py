"""HTTP paths and the WebSocket subprotocol of the realtime protocol, shared by server and remote client."""

GENERATE_PATH = "/v1/realtime_video/generate"
MODELS_PATH = "/v1/models"
SUBPROTOCOL = "lingbot"
TOKEN_PREFIX = "token."
"""A browser, which can set no header on a WebSocket, offers the token as the subprotocol `token.<token>`."""
