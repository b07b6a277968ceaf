"""Access control as ASGI middleware, and resume keys."""

import asyncio

import pytest

from lingbot_cli.errors import UsageError
from lingbot_cli.server.auth import PUBLIC_PATHS, AccessMiddleware, AccessRules, ResumeKeys, check_server_name

TOKEN = "s3cret"


def request(path="/", query=b"", kind="http", **headers):
    """Return the status, headers and body of an answer; None where the request reaches the app."""
    sent, reached = [], []

    async def app(scope, _receive, _send):
        reached.append(scope["path"])

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request"}

    given = {"host": "127.0.0.1:1", **headers}
    scope = {
        "type": kind,
        "path": path,
        "query_string": query,
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 9),
    }
    asyncio.run(AccessMiddleware(app, AccessRules(TOKEN))(scope, receive, send))
    assert bool(reached) != bool(sent)
    if reached:
        return None
    start = next(message for message in sent if message["type"].endswith(".start"))
    body = b"".join(message.get("body", b"") for message in sent)
    return start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, body.decode()


def test_only_the_missing_token_asks_for_one():
    status, headers, body = request()
    assert (status, headers["www-authenticate"]) == (401, "Bearer")
    assert body.endswith("printed\n")
    status, headers, _ = request(host="evil.example")
    assert status == 421
    assert "www-authenticate" not in headers
    assert request(query=b"token=s3cret") is None


def test_an_address_that_cannot_be_read_is_a_bad_request():
    status, _, body = request(query=b"&".join(b"a=1" for _ in range(60)))
    assert (status, body) == (400, "the address cannot be read\n")


@pytest.mark.parametrize("path", PUBLIC_PATHS)
def test_public_paths_need_no_token_but_an_allowed_host(path):
    assert request(path) is None
    assert request(path, host="evil.example")[0] == 421
    assert request(path, kind="websocket")[0] == 401
    assert request(path + "/x")[0] == 401


def test_other_kinds_of_events_pass():
    assert request(kind="lifespan") is None


def test_keys_name_their_server_to_all_that_share_the_token():
    first, second, other = (
        ResumeKeys(name, secret) for name, secret in (("a", TOKEN), ("b", TOKEN), ("a", "no"))
    )
    key = first.new()
    assert first.server_of(key) == second.server_of(key) == "a"
    assert other.server_of(key) is None
    assert first.new() != key
    name, _, signature = key.split(".")
    assert (name, len(signature)) == ("a", 24)
    for damaged in (key[:-1], key + "0", "b" + key[1:], key.replace(".", "", 1), "", signature, "a..", "é.é"):
        assert first.server_of(damaged) is None


def test_without_a_token_only_the_server_itself_knows_its_keys():
    first, second = ResumeKeys(), ResumeKeys()
    key = first.new()
    assert first.server_of(key) == ""
    assert second.server_of(key) is None


def test_names_of_servers():
    for name in ("", "a", "A-1", "x" * 63):
        assert check_server_name(name) == name
    for name in ("a.b", "a b", "ü", "x" * 64, "a\n"):
        with pytest.raises(UsageError, match="not a name"):
            check_server_name(name)
