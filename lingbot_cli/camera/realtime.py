"""What both ends of the realtime protocol know: where it is spoken, and how far one letter moves the camera."""

GENERATE_PATH = "/v1/realtime_video/generate"
MODELS_PATH = "/v1/models"
SUBPROTOCOL = "lingbot"
TOKEN_PREFIX = "token."
"""A browser, which can set no header on a WebSocket, offers the token as the subprotocol `token.<token>`."""

WALK_UNITS_PER_LATENT = 0.05  # units a latent frame
YAW_DEGREES_PER_LATENT, PITCH_DEGREES_PER_LATENT = 6.0, 4.0  # a latent frame
