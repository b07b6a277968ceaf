"""RTMP streams to node-media-server, whose addresses carry a signature in their query."""

import pytest

from lingbot_cli.errors import StreamLostError
from tests.support.live_outputs import Feed, start
from tests.support.node_media_server import node_media_server, signature
from tests.support.rtmp_server import until


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("node-media-server")
    with node_media_server(folder) as address:
        yield address, folder / "record" / "live"


def test_a_signed_address_is_accepted(address, probe):
    server, record = address
    output = start(f"{server}/live/room?sign={signature('/live/room')}")
    assert output.stats.name == f"{server}/live"
    with Feed(output):
        until(lambda: output.stats.sent > 24)
    output.close()
    until(lambda: list((record / "room").glob("*.flv")))
    (video,) = (record / "room").glob("*.flv")
    until(lambda: int(probe(video)["video"]["nb_read_frames"]) > 20)
    assert {"h264", "aac"} <= {each.get("codec_name") for each in probe(video)["streams"]}


def test_another_signature_is_refused_and_not_shown(address):
    server, _ = address
    wrong = signature("/live/room", "another")
    message = "refuses the stream key: the server closed the connection"
    with pytest.raises(StreamLostError, match=message) as refused:
        start(f"{server}/live/secret-room?sign={wrong}")
    assert "secret-room" not in str(refused.value)
    assert wrong not in str(refused.value)
