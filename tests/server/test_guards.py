"""Guards of the server against near misses: what is almost the token, the origin, the host or within a limit."""

import asyncio
from dataclasses import replace

import pytest

from lingbot_cli.server.auth import AccessRules
from lingbot_cli.server.client_events import parse_client_event
from lingbot_cli.server.client_messages import Init
from lingbot_cli.server.protocol import ClientLimits, ProtocolError, RateLimiter
from lingbot_cli.server.service import ModelService, SessionDefaults
from lingbot_cli.server.session_pool import PoolLimits, SessionPool
from tests.support.reference import sample_image, tiny_world

TOKEN = "s3cret-Token"
HOST = {"host": "127.0.0.1:30000"}


def status(rules: AccessRules, headers: dict[str, str], query: str = "") -> int:
    denial = rules.denial(HOST | headers, query)
    return 200 if denial is None else denial[0]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (TOKEN, 200),
        (TOKEN[:-1], 401),
        (TOKEN[1:], 401),
        (TOKEN + "x", 401),
        (TOKEN.lower(), 401),
        (f"{TOKEN}\0", 401),
        ("", 401),
        ("*", 401),
    ],
)
def test_only_the_whole_token_admits(given: str, found: int) -> None:
    rules = AccessRules(TOKEN)
    assert status(rules, {"authorization": f"Bearer {given}"}) == found
    assert status(rules, {"sec-websocket-protocol": f"lingbot, token.{given}"}) == found
    assert status(rules, {}, f"token={given}") == found


@pytest.mark.parametrize(
    "value", ["Bearer", "Bearer ", "", TOKEN, f"Token {TOKEN}", f"Basic {TOKEN}", "Basic "]
)
def test_no_other_authorization_admits(value: str) -> None:
    assert status(AccessRules(TOKEN), {"authorization": value}) == 401
    assert status(AccessRules(TOKEN), {}, f"tokens={TOKEN}&Token={TOKEN}") == 401


@pytest.mark.parametrize(
    ("origin", "found"),
    [
        ("http://127.0.0.1:30000", 200),
        ("http://127.0.0.1:30001", 403),
        ("http://127.0.0.1:3000", 403),
        ("http://127.0.0.1", 403),
        ("http://127.0.0.2:30000", 403),
        ("http://127.0.0.1:30000.evil.example", 403),
        ("http://my.example:8080", 200),
        ("http://my.example:8081", 403),
        ("http://my.example", 403),
        ("https://my.example:8080", 403),
        ("http://my.example:80800", 403),
        ("http://not-my.example:8080", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_only_its_own_and_the_named_origins_are_allowed(origin: str, found: int) -> None:
    rules = AccessRules(TOKEN, origins=("http://my.example:8080",))
    assert status(rules, {"origin": origin}, f"token={TOKEN}") == found


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("localhost:30000", 200),
        ("[::1]:30000", 200),
        ("my.example", 200),
        ("MY.example:1", 200),
        ("my.example.evil.example", 421),
        ("not-my.example", 421),
        ("localhost.evil.example", 421),
        ("notlocalhost", 421),
        ("127.0.0.1.evil.example", 421),
        ("1", 421),
        ("", 421),
    ],
)
def test_only_addresses_and_named_hosts_are_served(host: str, found: int) -> None:
    assert status(AccessRules(None, hosts=("my.example",)), {"host": host}) == found


def service(**limits: int) -> ModelService:
    return ModelService(
        tiny_world(), replace(ClientLimits(), **limits), SessionDefaults(sample_image(), "a court")
    )


def init(**fields: object) -> Init:
    return Init(type="init", size="48x32", **fields)


def test_the_servers_limit_of_chunks_holds_for_clients_that_name_none() -> None:
    assert service(max_chunks=5).new_session(init()).settings.max_chunks == 5
    assert service(max_chunks=5).new_session(init(max_chunks=5)).settings.max_chunks == 5
    assert service(max_chunks=5).new_session(init(max_chunks=4)).settings.max_chunks == 4
    with pytest.raises(ProtocolError, match="5 at most"):
        service(max_chunks=5).new_session(init(max_chunks=6))
    assert service().new_session(init()).settings.max_chunks is None
    assert service().new_session(init(max_chunks=6)).settings.max_chunks == 6


def test_a_frame_of_exactly_the_largest_size_is_rendered() -> None:
    assert service(max_pixels=48 * 32).new_session(init()).settings.width == 48
    with pytest.raises(ProtocolError, match="more than 1535 pixels"):
        service(max_pixels=48 * 32 - 1).new_session(init())


def test_a_prompt_of_exactly_the_longest_length_is_taken() -> None:
    event = {"type": "event", "kind": "prompt"}
    limits = ClientLimits(max_prompt_characters=5)
    assert parse_client_event(event | {"payload": "a" * 5}, limits).payload.text == "aaaaa"
    with pytest.raises(ProtocolError, match="5 characters"):
        parse_client_event(event | {"payload": "a" * 6}, limits)


def test_the_rate_of_events_is_allowed_and_one_more_is_not() -> None:
    limiter = RateLimiter(3)
    assert [limiter.allow(0.0) for _ in range(4)] == [True, True, True, False]
    assert [limiter.allow(1 / 3) for _ in range(2)] == [True, False]


def test_a_returning_client_goes_before_those_that_wait() -> None:
    async def admitted() -> list[str]:
        pool = SessionPool(PoolLimits(slots=1, queue_length=3))
        order: list[str] = []
        positions: list[tuple[str, int]] = []
        ready = asyncio.Event()

        async def play(name: str, *, reconnecting: bool = False) -> None:
            async def report(position: int) -> None:
                positions.append((name, position))

            async with pool.slot(report, reconnecting=reconnecting):
                order.append(name)
                if name == "first":
                    ready.set()
                    await leave.wait()

        leave = asyncio.Event()
        tasks = [asyncio.create_task(play("first"))]
        await ready.wait()
        for name, reconnecting in (("second", False), ("third", False), ("returning", True)):
            tasks.append(asyncio.create_task(play(name, reconnecting=reconnecting)))
            for _ in range(3):
                await asyncio.sleep(0)
        leave.set()
        await asyncio.gather(*tasks)
        assert ("second", 1) in positions
        assert ("second", 2) in positions  # moved back by the returning one
        pool.close()
        return order

    assert asyncio.run(admitted()) == ["first", "returning", "second", "third"]
