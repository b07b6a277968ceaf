"""Addresses as RTMP servers document them, their logins, and answers that repeat a secret."""

import base64
import hashlib
import re
import subprocess
from urllib.parse import parse_qsl

import pytest

from lingbot_cli.errors import StreamLostError, UsageError
from lingbot_cli.sinks.live import rtmp_protocol as protocol
from lingbot_cli.sinks.live.rtmp import RtmpPublisher
from lingbot_cli.sinks.live.rtmp_address import RtmpAddress, adobe_query
from lingbot_cli.sinks.live.rtmp_protocol import FlvTag, encode_message
from tests.support.live_outputs import Feed, start
from tests.support.rtmp_server import until
from tests.support.scripted_rtmp import accept, refusal, scripted_server


@pytest.mark.parametrize(
    ("path", "app", "key"),
    [
        ("live/KEY", "live", "KEY"),
        ("live/instance/KEY", "live/instance", "KEY"),
        ("live/KEY?sig=a/b&x=y", "live", "KEY?sig=a/b&x=y"),
        ("name?user=me&pass=SECRET", "name?user=me&pass=SECRET", ""),
        ("a/name?user=me&pass=SECRET", "a", "name?user=me&pass=SECRET"),
        ("name/", "name", ""),
        ("live?vhost=v.example/KEY", "live?vhost=v.example", "KEY"),
        ("live/KEY?vhost=v.example", "live", "KEY?vhost=v.example"),
    ],
)
def test_documented_addresses(path, app, key):
    address = RtmpAddress.parse(f"rtmp://h.example:1936/{path}")
    assert (address.app, address.key, address.port) == (app, key, 1936)
    assert address.tc_url == f"rtmp://h.example:1936/{app}"
    for secret in ("KEY", "SECRET", "sig="):
        assert secret not in address.name + repr(address)


def test_a_login_before_the_host_and_addresses_without_a_key():
    address = RtmpAddress.parse("rtmps://m%40e:p%3Aw@[::1]:443/live/KEY")
    assert (address.user, address.password, address.host, address.name) == (
        *("m@e", "p:w", "::1", "rtmps://[::1]/live"),
    )
    for url in ("rtmp://host/name", "rtmp://host", "rtmp://host/", "rtmp://host//KEY", "rtmp://host/a b/c"):
        with pytest.raises(UsageError, match="incomplete RTMP address"):
            RtmpAddress.parse(url)


def test_ports():
    for port in (1, 65535):
        assert RtmpAddress.parse(f"rtmp://host:{port}/live/KEY").port == port
    for port in (0, 65536):
        with pytest.raises(UsageError, match=f"invalid port {port}"):
            RtmpAddress.parse(f"rtmp://host:{port}/live/KEY")
    assert [RtmpAddress.parse(f"{scheme}://host/live/KEY").port for scheme in ("rtmp", "rtmps")] == [
        1935,
        443,
    ]
    names = [RtmpAddress.parse(f"rtmps://host:{port}/live/KEY").name for port in (443, 1935)]
    assert names == ["rtmps://host/live", "rtmps://host:1935/live"]


def test_secrets_are_the_key_the_password_and_the_values_as_written_and_decoded():
    address = RtmpAddress.parse("rtmp://me:p%3Aw@host/live/KEY%21?sig=a%2Fb&x=y;z")
    assert address.secrets == ["KEY%21?sig=a%2Fb&x=y;z", "KEY%21", "KEY!", "p:w", "a%2Fb", "a/b", "y"]


def test_the_queries_of_a_login():
    def query(refusal):
        return adobe_query(refusal, "me", "pw")

    assert query("[ code=403 need auth; authmod=adobe ] : ") == "?authmod=adobe&user=me"
    assert query("[ code=403 need auth; authmod=llnw ] : ") is None
    assert query("[ code=404; authmod=adobe ] : ") is None
    asked = "[ authmod=adobe ] : ?reason=needauth&user=me&salt=S+l&challenge=C+l"
    for more, hashed in (("", "C+l"), ("&opaque=O+q", "O+q")):
        fields = dict(parse_qsl(query(f"{asked}{more} more")[1:].replace("+", "%2B")))
        assert re.fullmatch("[0-9a-f]{8}", fields["challenge"])
        assert fields["response"] == md5(md5("meS+lpw") + hashed + fields["challenge"])
        assert fields.get("opaque") == ("O+q" if more else None)
        assert (fields["authmod"], fields["user"]) == ("adobe", "me")


def md5(text):
    return base64.b64encode(hashlib.md5(text.encode()).digest()).decode()


def ask_for_login(values):
    """Admit the user `me` with the password `p:w`, as a Flash Media Server does."""
    if values[0] != "connect":
        return accept(values)
    query = dict(parse_qsl(values[2]["app"].partition("?")[2].replace("+", "%2B")))
    if "authmod" not in query:
        return refusal("[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : ")
    if "response" not in query:
        login = f"user={query['user']}&salt=SaLt&challenge=ChAl&opaque=oPaQ=="
        return refusal(f"[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=needauth&{login}")
    expected = md5(md5(query["user"] + "SaLt" + "p:w") + "oPaQ==" + query["challenge"])
    if query["response"] != expected:
        return refusal("[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=authfailed&opaque=oPaQ==")
    return accept(values)


def test_a_login_that_ffmpeg_makes_too(ffmpeg):
    with scripted_server(ask_for_login) as server:
        for login, admitted in (("me:p%3Aw", True), ("me:wrong-one", False)):
            address = RtmpAddress.parse(f"rtmp://{login}@127.0.0.1:{server.port}/live/KEY")
            if admitted:
                RtmpPublisher(address).close()
            else:
                with pytest.raises(StreamLostError, match=r"refuses the app: .*authfailed"):
                    RtmpPublisher(address)
        args = ["-v", "error", "-f", "lavfi", "-i", "testsrc=s=64x64:d=0.5", "-c:v", "flv", "-f", "flv"]
        for login, admitted in (("me:p:w", True), ("me:wrong", False)):
            url = f"rtmp://{login}@127.0.0.1:{server.port}/live/KEY"
            done = subprocess.run([ffmpeg, *args, url], capture_output=True, timeout=60)
            assert (done.returncode == 0) == admitted, done.stderr


@pytest.mark.parametrize(
    "path", ["live/KEYA?sig=VALB%2F1&t=7", "KEYA?pass=VALB%2F1&t=7", "live?k=VALB%2F1/KEYA"]
)
def test_an_answer_that_repeats_the_secrets_shows_none(path):
    reply = refusal("no KEYA with VALB%2F1 or VALB/1 or t 7, ask 17 <KEYA?sig=VALB%2F1&t=7>")
    with scripted_server(lambda _: reply) as server, pytest.raises(StreamLostError) as refused:
        RtmpPublisher(RtmpAddress.parse(f"rtmp://me:hidden@127.0.0.1:{server.port}/{path}"))
    shown = f"{refused.value} {refused.value.hint}"
    assert "VALB" not in shown
    assert "KEYA" not in shown or path.startswith("KEYA")  # there it is the app's name
    assert "ask 17" in shown


def test_a_flood_of_pings_does_not_starve_sending():
    ping = encode_message(protocol.USER_CONTROL, b"\0\6\0\0\0\1") * 1000
    with scripted_server(accept, ping) as server:
        output = start(f"rtmp://127.0.0.1:{server.port}/live/KEY")
        with Feed(output):
            until(lambda: server.tags > 40)
        output.abort()


def test_a_flood_instead_of_an_answer_is_no_answer(monkeypatch):
    monkeypatch.setattr("lingbot_cli.sinks.live.rtmp.CONNECT_TIMEOUT_S", 0.3)
    ping = encode_message(protocol.USER_CONTROL, b"\0\6\0\0\0\1") * 100
    with scripted_server(lambda _: ping * 1000) as server, pytest.raises(StreamLostError, match="no answer"):
        RtmpPublisher(RtmpAddress.parse(f"rtmp://127.0.0.1:{server.port}/live/KEY"))


def test_tags_of_a_publisher_are_counted_by_the_server():
    with scripted_server() as server:
        publisher = RtmpPublisher(RtmpAddress.parse(f"rtmp://127.0.0.1:{server.port}/name?pass=x"))
        publisher.send(FlvTag(protocol.VIDEO, 0, b"\x17\1\0\0\0"))
        until(lambda: server.tags == 1)
        publisher.close()
