"""Access control of the page and the protocol."""

import base64
import json
import re
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import InvalidStatus

from lingbot_cli.server.auth import AccessRules, is_loopback
from lingbot_cli.server.http_server import ListenAddress, page_url
from tests.support.realtime_client import client
from tests.support.serving import TOKEN, serving


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
    for path in ("/", "/v1/models", "/models", "/server_info", "/metrics"):
        request = urllib.request.Request(f"http://127.0.0.1:{served.port}{path}{query}", headers=headers)
        found, text = answer(request)
        assert found == status
        assert TOKEN not in text


def answer(request):
    """Return the status and the text of an answer to a request or an address."""
    try:
        with urllib.request.urlopen(request, timeout=30) as answered:
            return answered.status, answered.read().decode()
    except urllib.error.HTTPError as turned_away:
        with turned_away:
            return turned_away.code, turned_away.read().decode()


def test_probes_need_no_token_and_tell_nothing(served):
    for path in ("/health", "/healthz", "/liveness"):
        status, text = answer(f"http://127.0.0.1:{served.port}{path}")
        assert status == 200
        assert re.fullmatch(r'\{"status":"ok","free":\d\}', text)
        evil = urllib.request.Request(
            f"http://127.0.0.1:{served.port}{path}", headers={"Host": "evil.example"}
        )
        assert answer(evil)[0] == 421


def test_the_password_of_the_url_is_a_token(served):
    for password, status in ((TOKEN, 200), (TOKEN[:-1], 401), ("", 401)):
        basic = base64.b64encode(f"x:{password}".encode()).decode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{served.port}/v1/models", headers={"Authorization": f"Basic {basic}"}
        )
        assert answer(request)[0] == status
    broken = {"Authorization": "Basic %%%"}
    assert answer(urllib.request.Request(f"http://127.0.0.1:{served.port}/", headers=broken))[0] == 401


def test_a_model_is_found_by_its_id(served):
    found, text = answer(f"http://127.0.0.1:{served.port}/v1/models/nobody/knows?token={TOKEN}")
    assert (found, json.loads(text)["error"]["code"]) == (404, "model_not_found")
    name = json.loads(answer(f"http://127.0.0.1:{served.port}/v1/models?token={TOKEN}")[1])["data"][0]["id"]
    assert answer(f"http://127.0.0.1:{served.port}/v1/models/{name}?token={TOKEN}")[0] == 200


def test_allowed_origins_may_read_every_answer_and_others_none(caplog):
    page = "http://127.0.0.1:18080"
    with serving(rules=AccessRules(TOKEN, origins=(page,))) as found:
        for query, status in ((f"?token={TOKEN}", 200), ("", 401)):
            for origin, allowed in ((page, page), ("http://127.0.0.1:18081", None)):
                url = f"http://127.0.0.1:{found.port}/v1/models{query}"
                request = urllib.request.Request(url, headers={"Origin": origin})
                try:
                    with urllib.request.urlopen(request, timeout=30) as answered:
                        got, headers = answered.status, answered.headers
                except urllib.error.HTTPError as denied:
                    got, headers = denied.code, denied.headers
                assert got == (status if allowed else 403)
                assert headers["Access-Control-Allow-Origin"] == allowed
    assert "denied 127.0.0.1 '/v1/models' with 401: the token is missing" in caplog.text
    assert "with 403: this Origin is not allowed here; name it with --allow-origin" in caplog.text
    assert TOKEN not in caplog.text


def test_no_token_admits_this_machine():
    assert AccessRules(None).denial({"host": "127.0.0.1:30000"}, "") is None
    assert AccessRules(None).denial({"host": "evil.example"}, "") is not None
    for host, alone in (
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
    ):
        assert is_loopback(host) is alone


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
