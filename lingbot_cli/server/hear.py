"""An event becomes part of what a living world is told next."""

from lingbot_cli.server.actions import Script, States
from lingbot_cli.server.client_events import Composite, Event, Exact, Look, Prompt, Reset, Signal
from lingbot_cli.server.messages import check_prompt
from lingbot_cli.server.play_session import Living
from lingbot_cli.server.protocol import Limits


def hear(living: Living, event: Event, limits: Limits) -> None:
    """Take one event; a Refusal leaves the world as it was."""
    said, number = event.said, event.id
    conditions = living.conditions
    if isinstance(said, Prompt):
        conditions.say(said.text, number)
    elif isinstance(said, Script | States):
        conditions.act(said, number)
    elif isinstance(said, Composite):
        if said.actions is not None:
            conditions.act(said.actions)  # this alone may refuse, so it comes first: both or neither
        if said.prompt is not None:
            conditions.say(said.prompt.text)
        conditions.hear(number)
    elif isinstance(said, Look):
        living.look(said, number)
    elif isinstance(said, Exact):
        living.direct(said, number)
    elif isinstance(said, Reset):
        if said.prompt is not None:
            check_prompt(said.prompt, limits)
        living.reset(said.seed, said.prompt)
        living.conditions.hear(number)
    else:
        if isinstance(said, Signal) and said.kind in ("pause", "resume"):
            living.paused = said.kind == "pause"
        conditions.hear(number)
