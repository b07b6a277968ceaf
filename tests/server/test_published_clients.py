"""A client that knows the published protocol only and fails on anything else."""

import msgpack
import pytest

from tests.support.realtime_client import WAIT, decoded, init

IDS = {"request_id", "chunk_index", "event_id"}
FIELDS = {
    "error": {"content"},
    "chunk_stats": IDS
    | {
        "session_id",
        "request_prepare_ms",
        "scheduler_forward_ms",
        "pace_wait_ms",
        "header_write_ms",
        "raw_payload_build_ms",
        "raw_write_ms",
        "ws_write_ms",
        "chunk_total_ms",
        "num_batches",
        "num_frames",
        "raw_bytes",
        "ws_payload_bytes",
        "content_type",
    },
    "frame_batch_header": IDS
    | {
        "content_type",
        "num_frames",
        "total_size",
        "format",
        "width",
        "height",
        "channels",
        "bytes_per_frame",
        "raw_size",
        "encoding",
        "payload_lengths",
        "frame_batch_index",
        "num_frame_batches",
        "is_final_frame_batch",
        "source_width",
        "source_height",
        "preview_width",
        "preview_height",
    },
}
FIELDS["frame_batch"] = FIELDS["frame_batch_header"] | {"payload"}


def receive(client):
    """Return the next message; unknown types and fields fail."""
    message = msgpack.unpackb(client.socket.recv(WAIT))
    kind = message.pop("type")
    assert kind in FIELDS, f"unknown type {kind}"
    assert set(message) <= FIELDS[kind], set(message) - FIELDS[kind]
    if kind == "frame_batch_header":
        assert message["total_size"] >= 65_536
        message["payload"] = client.socket.recv(WAIT)
        assert isinstance(message["payload"], bytes)
    elif kind == "frame_batch":
        assert message["total_size"] < 65_536
    return kind, message


def chunk(client):
    """Return the frames of the next chunk and its stats."""
    frames = []
    while True:
        kind, message = receive(client)
        if kind == "chunk_stats":
            return frames, message
        assert kind != "error", message
        frames += decoded(message)


@pytest.mark.parametrize("size", ["32x32", "160x96"])
@pytest.mark.parametrize("form", ["raw", "jpeg", "webp", None])
def test_small_payloads_are_whole_and_large_ones_split(served, form, size):
    with served.client(extended=False) as client:
        client.send(**init(size=size, realtime_output_format=form, max_chunks=2))
        first, stats = chunk(client)
        second, _ = chunk(client)
    width, height = map(int, size.split("x"))
    assert [len(first), len(second)] == [9, 12]
    assert first[0].shape == (height, width, 3)
    times = [value for key, value in stats.items() if key.endswith("_ms")]
    assert all(type(value) is int for value in times)
    assert stats["chunk_total_ms"] >= stats["scheduler_forward_ms"]
    assert stats["ws_write_ms"] <= stats["chunk_total_ms"]
    assert stats["raw_bytes"] == 9 * height * width * 3
    assert stats["ws_payload_bytes"] > sum(frame.nbytes for frame in first) * (form in ("raw", None))


def test_numbers_and_booleans_as_pages_pack_them(served):
    forms = {
        "seed": 70000.0,
        "max_chunks": "1",
        "realtime_output_pacing": 1,
        "num_inference_steps": 4.0,
        "fps": "16",
    }
    with served.client(extended=False) as client:
        client.send(**init(**forms))
        assert len(chunk(client)[0]) == 9
    with served.client(extended=False) as client:
        client.send(**init(seed=-1, max_chunks=1))
        assert len(chunk(client)[0]) == 9


def test_errors_have_no_fields_of_ours_and_the_session_continues(served):
    with served.client(extended=False) as client:
        client.send(**init(size="33x32"))
        kind, message = receive(client)
        assert (kind, set(message)) == ("error", {"content"})
        client.send(**init(max_chunks=3))
        chunk(client)
        client.event("fly", event_id=3)
        kinds = [receive(client)[0] for _ in range(3)]
        assert "error" in kinds


def test_the_window_of_a_large_model_is_this_models(served):
    with served.client(extended=False) as client:
        client.send(**init(realtime_causal_kv_cache_num_frames=18, realtime_causal_sink_size=9, max_chunks=4))
        assert [len(chunk(client)[0]) for _ in range(4)] == [9, 12, 12, 12]


def test_an_event_is_named_on_every_chunk_while_it_holds(served):
    with served.client(extended=False) as client:
        client.send(**init())
        chunk(client)
        client.event(
            "camera_actions", {"mode": "state", "transitions": [{"actions": ["w"]}]}, event_id=70000.0
        )
        found = [chunk(client)[1]["event_id"] for _ in range(6)]
        assert found[-2:] == [70000, 70000]


def test_an_init_that_asks_for_additions_gets_them(served):
    with served.client(extended=False) as client:
        client.send(**init(extensions=True, max_chunks=1))
        assert client.until("session", state="started")["width"] == 32
        assert client.until("chunk_stats")["prompt"] == "a courtyard"
