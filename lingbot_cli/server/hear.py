"""An event becomes part of what a living world is told next."""

from lingbot_cli.server.actions import ActionScript, ActionStates
from lingbot_cli.server.client_events import (
    CameraTurn,
    ClientEvent,
    CompositeInput,
    ExactControl,
    PromptChange,
    Reset,
    SessionCommand,
)
from lingbot_cli.server.messages import check_prompt
from lingbot_cli.server.play_session import PlaySession
from lingbot_cli.server.protocol import Limits


def hear(living: PlaySession, event: ClientEvent, limits: Limits) -> None:
    """Take one event; a Refusal leaves the world as it was."""
    said, number = event.said, event.id
    conditions = living.conditions
    if isinstance(said, PromptChange):
        conditions.say(said.text, number)
    elif isinstance(said, ActionScript | ActionStates):
        conditions.act(said, number)
    elif isinstance(said, CompositeInput):
        if said.actions is not None:
            conditions.act(said.actions)  # this alone may refuse, so it comes first: both or neither
        if said.prompt is not None:
            conditions.say(said.prompt.text)
        conditions.hear(number)
    elif isinstance(said, CameraTurn):
        living.look(said, number)
    elif isinstance(said, ExactControl):
        living.direct(said, number)
    elif isinstance(said, Reset):
        if said.prompt is not None:
            check_prompt(said.prompt, limits)
        living.reset(said.seed, said.prompt)
        living.conditions.hear(number)
    else:
        if isinstance(said, SessionCommand) and said.kind in ("pause", "resume"):
            living.paused = said.kind == "pause"
        conditions.hear(number)
