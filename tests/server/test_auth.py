"""Access control of the page and the protocol."""

import urllib.error
import urllib.request
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import InvalidStatus

from lingbot_cli.server.auth import AccessRules
from lingbot_cli.server.http_server import ListenAddress, page_url
from tests.support.realtime_client import client
from tests.support.serving import TOKEN


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("", {}, 401),
        ("?token=wrong", {}, 401),
        ("?token=", {"Authorization": "Bearer wrong"}, 401),
        (f"?token={TOKEN}", {"Host": "evil.example"}, 421),
        (f"?token={TOKEN}", {"Origin": "http://evil.example"}, 403),
        (f"?token={TOKEN}", {"Origin": "null"}, 403),
        ("", {"Authorization": f"Bearer {TOKEN}"}, 200),
        (f"?token={TOKEN}", {"Host": "localhost:1"}, 200),
    ],
)
def test_requests_need_the_token_a_known_host_and_an_allowed_origin(served, query, headers, status):
    for path in ("/", "/v1/models", "/healthz", "/metrics"):
        request = urllib.request.Request(f"http://127.0.0.1:{served.port}{path}{query}", headers=headers)
        found, text = answer(request)
        assert found == status
        assert TOKEN not in text


def answer(request):
    try:
        with urllib.request.urlopen(request, timeout=30) as answered:
            return answered.status, answered.read().decode()
    except urllib.error.HTTPError as turned_away:
        with turned_away:
            return turned_away.code, turned_away.read().decode()


@pytest.mark.parametrize(
    ("token", "options", "status"),
    [
        ("", {}, 401),
        (TOKEN, {"origin": "http://evil.example"}, 403),
    ],
)
def test_a_websocket_is_denied_before_it_opens(served, token, options, status):
    with pytest.raises(InvalidStatus) as turned_away, client(served.port, token, **options):
        pass
    assert turned_away.value.response.status_code == status


def test_the_token_may_be_a_subprotocol_and_is_not_echoed(served):
    with client(served.port, "", subprotocols=["lingbot", f"token.{TOKEN}"]) as found:
        assert found.socket.subprotocol == "lingbot"


def test_any_token_survives_in_the_url():
    token = "p+q&r=s/t#u%v w"
    with ListenAddress().bind() as bound:
        query = urlsplit(page_url(bound, token)).query
    assert AccessRules(token).denial({"host": "127.0.0.1"}, query) is None


def test_other_hosts_and_origins_are_allowed_by_name():
    rules = AccessRules(TOKEN, hosts=("worlds.example",), origins=("http://127.0.0.1:18080",))
    headers = {"host": "worlds.example:443", "origin": "http://127.0.0.1:18080"}
    assert rules.denial(headers, f"token={TOKEN}") is None
    assert AccessRules(TOKEN).denial(headers, f"token={TOKEN}") is not None
    assert TOKEN not in repr(rules)
