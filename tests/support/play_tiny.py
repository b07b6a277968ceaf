"""`lingbot …` with the tiny model of the tests in `play`, so that it starts within seconds.

With CRASH in the environment drawing the fourth frame fails.
"""

import os
import sys

from lingbot_cli.__main__ import main
from lingbot_cli.server import serve
from lingbot_cli.terminal import graphics, play, preview
from tests.support.reference import tiny_world


def load(*_given, **_named):
    return tiny_world(), None


serve.load_served_model = load
if "CRASH" in os.environ:
    drawn = []

    def draw(frame, columns, rows):
        drawn.append(frame)
        if len(drawn) == 4:
            raise LookupError("a picture that cannot be drawn")
        return graphics.half_blocks(frame, columns, rows)

    play.DRAW = preview.DRAW = {"blocks": draw}
sys.argv[0] = "lingbot"
main()
