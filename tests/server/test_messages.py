"""Client messages at their limits: init, actions, events, and the size of a message."""

import msgpack
import numpy as np
import pytest

from lingbot_cli.server.client_events import (
    CameraTurn,
    CompositeInput,
    PromptChange,
    SessionCommand,
    parse_client_event,
)
from lingbot_cli.server.client_messages import ActionScript, ActionStates, parse_actions, parse_init
from lingbot_cli.server.protocol import ClientLimits, ProtocolError, error_message, pack, unpack

LIMITS = ClientLimits(max_script_frames=3, max_prompt_characters=5)


def parsed(**fields):
    return parse_init({"type": "init", **fields}, LIMITS, 4)


def code(call, *args, **fields):
    """Return the code of the ProtocolError that a call raises."""
    with pytest.raises(ProtocolError) as error:
        call(*args, **fields)
    return error.value.code


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"fps": 1},
        {"fps": 120},
        {"seed": -(2**63)},
        {"seed": 2**63 - 1},
        {"seed": None},
        {"max_chunks": 1},
        {"num_inference_steps": 0},
        {"num_inference_steps": 4},
        {"num_inference_steps": None},
        {"guidance_scale": 1},
        {"guidance_scale": None},
        {"output_compression": 1},
        {"output_compression": 100},
        {"realtime_preview_max_width": 8192},
        {"realtime_preview_max_width": -(2**63)},
        {"scale": 1e6},
        {"have": 0},
        {"have": 2**63 - 1},
        {"resume": "x" * 100},
        {"prompt": "12345"},
        {"first_frame": b"x"},
        {"first_frame": None},
        {"condition_inputs": {}},
        {"condition_inputs": {"camera_actions": [[]] * 3}},
        {"enable_upscaling": False, "unknown": 1},
    ],
    ids=str,
)
def test_values_within_the_limits(fields):
    parsed(**fields)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"type": "event"}, "init_expected"),
        ({"fps": 0.9}, "bad_init"),
        ({"fps": 120.1}, "bad_init"),
        ({"fps": float("nan")}, "bad_init"),
        ({"seed": -(2**63) - 1}, "bad_init"),
        ({"seed": 2**63}, "bad_init"),
        ({"max_chunks": 0}, "bad_init"),
        ({"num_inference_steps": -1}, "bad_init"),
        ({"num_inference_steps": 2**63}, "bad_init"),
        ({"num_inference_steps": 5}, "unsupported"),
        ({"num_inference_steps": 3}, "unsupported"),
        ({"guidance_scale": 1.5}, "unsupported"),
        ({"guidance_scale": 0}, "unsupported"),
        ({"output_compression": 0}, "bad_init"),
        ({"output_compression": 101}, "bad_init"),
        ({"realtime_preview_max_width": 8193}, "bad_init"),
        ({"realtime_preview_max_width": -(2**63) - 1}, "bad_init"),
        ({"guidance_scale": float("inf")}, "bad_init"),
        ({"scale": 0}, "bad_init"),
        ({"scale": 1e6 + 1}, "bad_init"),
        ({"have": -1}, "bad_init"),
        ({"resume": "x" * 101}, "bad_init"),
        ({"prompt": "123456"}, "prompt_too_long"),
        ({"first_frame": "a.png"}, "first_frame_not_bytes"),
        ({"first_frame": 7}, "first_frame_not_bytes"),
        ({"enable_upscaling": True}, "unsupported"),
        ({"enable_frame_interpolation": True}, "unsupported"),
        ({"condition_inputs": {"camera_actions": [], "depth": 1}}, "unsupported"),
        ({"condition_inputs": {"camera_actions": [[]] * 4}}, "script_too_long"),
        ({"condition_inputs": {"camera_actions": "w"}}, "bad_actions"),
    ],
    ids=str,
)
def test_values_beyond_the_limits(fields, expected):
    assert code(parsed, **fields) == expected


def test_fields_of_an_init():
    assert parsed(seed=-1).seed == 2**63 - 1
    assert (parsed().seed, parsed().image, parsed(first_frame=b"").image) == (42, None, None)
    assert parsed(first_frame=b"png").image == b"png"
    assert parsed(condition_inputs={"camera_actions": [["w", "d", "w"], []]}).script(LIMITS) == ["wd", ""]
    assert parsed(condition_inputs={}).script(LIMITS) == parsed().script(LIMITS) == []
    plain = {"extensions": False, "controls": False, "camera": None, "resume": None}
    assert not parsed(**plain).extended
    for asked in ({"extensions": True}, {"controls": True}, {"camera": {}}, {"resume": "a"}):
        assert parsed(**asked).extended


def test_actions():
    assert parse_actions([["w", "l"], []], LIMITS) == ActionScript(("wl", ""))
    state = {"mode": "state", "transitions": [{"actions": ["d", "w"]}, {"actions": []}]}
    assert parse_actions(state, LIMITS) == ActionStates(("wd", ""))
    parse_actions({"mode": "state", "transitions": [{"actions": []}] * 3}, LIMITS)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (None, "bad_actions"),
        ({"transitions": [{"actions": []}]}, "bad_actions"),
        ({"mode": "state"}, "bad_actions"),
        ({"mode": "state", "transitions": []}, "bad_actions"),
        ({"mode": "state", "transitions": [{"actions": []}] * 4}, "bad_actions"),
        ({"mode": "state", "transitions": ["w"]}, "bad_actions"),
        ({"mode": "state", "transitions": [{"actions": "w"}]}, "bad_actions"),
        ([["w"], "d"], "bad_actions"),
        ([["wd"]], "unknown_action"),
        ([[""]], "unknown_action"),
        ([["x"]], "unknown_action"),
        ([[1]], "unknown_action"),
    ],
    ids=str,
)
def test_no_actions(payload, expected):
    assert code(parse_actions, payload, LIMITS) == expected


def event(kind, payload=None, **fields):
    return parse_client_event({"type": "event", "kind": kind, "payload": payload, **fields}, LIMITS)


POSE = np.eye(4).flatten().tolist()
LENS = [500.0, 500.0, 416.0, 240.0]
CONTROL = {"poses": [POSE], "intrinsics": [LENS], "actions": [[0.0] * 4], "prompt": ""}


def test_events():
    assert event("prompt", "rain", event_id=7).id == 7
    assert event("prompt", "rain").payload == PromptChange("rain")
    for event_id in (-(2**63), 2**63 - 1):
        assert event("prompt", "rain", event_id=event_id).id == event_id
    assert event("turn", {"yaw": 3, "pitch": -4}).payload == CameraTurn(3, -4)
    assert event("pause").payload == SessionCommand("pause")
    composite = {"input_types": ["prompt", "camera_actions"], "prompt": "fog", "camera_actions": [["w"]]}
    assert event("composite_input", composite).payload == CompositeInput(
        PromptChange("fog"), ActionScript(("w",))
    )
    alone = {"input_types": ["prompt"], "prompt": "fog", "camera_actions": "ignored"}
    assert event("composite_input", alone).payload == CompositeInput(PromptChange("fog"), None)
    assert event("reset").payload.seed is None
    assert event("reset", {"seed": 3}).payload.seed == 3
    for frames in (1, 2**31 - 1):
        assert event("window", {"frames": frames}).payload.frames == frames
    for most in ({"max_width": 16, "quality": 1}, {"max_width": 8192, "quality": 100}):
        assert event("output", most).payload.max_width == most["max_width"]


def test_controls():
    found = event("control", CONTROL | {"recache": True}).payload
    assert (found.poses.shape, found.intrinsics.tolist(), found.frames) == ((1, 4, 4), [LENS], 4)
    assert (found.actions.dtype, found.recache) == (np.float32, True)
    many = {"poses": [POSE] * 64, "intrinsics": [LENS] * 64, "actions": [[0.0] * 4] * 64, "prompt": "12345"}
    assert event("control", many).payload.frames == 256
    for wrong in (
        {"poses": [POSE] * 2},
        {"actions": [[0.0] * 4] * 2},
        {"poses": [POSE[:15]]},
        {"intrinsics": [[0.0, 500, 416, 240]]},
        {"poses": [[2.0, *POSE[1:]]]},
        {"prompt": None},
        {"more": 1},
        {"poses": [POSE] * 65, "intrinsics": [LENS] * 65, "actions": [[0.0] * 4] * 65},
    ):
        assert code(event, "control", CONTROL | wrong) == "bad_event", wrong
    assert code(event, "control", CONTROL | {"prompt": "123456"}) == "prompt_too_long"


@pytest.mark.parametrize(("field", "length"), [("poses", 16), ("intrinsics", 4), ("actions", 4)])
def test_the_error_of_a_control_names_the_field_of_another_length(field, length):
    row = CONTROL[field][0]
    for wrong in ([row[:-1]], [[*row, 0.0]], [row] * 65):
        with pytest.raises(ProtocolError, match=rf"control: {field}[.: ]"):
            event("control", CONTROL | {field: wrong})
    assert len(row) == length
    assert event("control", CONTROL).payload.recache is False


@pytest.mark.parametrize("types", [["prompt"], ["camera_actions"], ["camera_actions", "prompt"]])
def test_a_composite_input_has_what_its_types_name(types):
    fields = {"prompt": "fog", "camera_actions": [["w"]]}
    found = event("composite_input", {"input_types": types, **fields}).payload
    assert found.prompt == (PromptChange("fog") if "prompt" in types else None)
    assert found.actions == (ActionScript(("w",)) if "camera_actions" in types else None)


@pytest.mark.parametrize("kind", ["pause", "resume", "stop", "heartbeat", "timeline"])
def test_commands_ignore_their_payload(kind):
    assert event(kind, {"more": 1}).payload == SessionCommand(kind)


@pytest.mark.parametrize(
    ("kind", "payload", "fields", "expected"),
    [
        ("prompt", "", {}, "bad_prompt"),
        ("prompt", " ", {}, "bad_prompt"),
        ("prompt", 3, {}, "bad_prompt"),
        ("jump", None, {}, "unknown_event"),
        (3, None, {}, "unknown_event"),
        ("prompt", "rain", {"event_id": "x"}, "bad_event"),
        ("prompt", "rain", {"event_id": 2**63}, "bad_event"),
        ("prompt", "rain", {"event_id": -(2**63) - 1}, "bad_event"),
        ("prompt", "rain", {"type": "init"}, "event_expected"),
        ("composite_input", [], {}, "bad_event"),
        ("composite_input", {"input_types": []}, {}, "bad_event"),
        ("composite_input", {"input_types": "prompt", "prompt": "a"}, {}, "bad_event"),
        ("composite_input", {"input_types": ["prompt"]}, {}, "bad_event"),
        ("composite_input", {"input_types": [["prompt"]], "prompt": "a"}, {}, "bad_event"),
        ("composite_input", {"input_types": ["seed"], "seed": 1}, {}, "bad_event"),
        ("output", {"max_width": 15}, {}, "bad_event"),
        ("output", {"max_width": 8193}, {}, "bad_event"),
        ("output", {"quality": 0}, {}, "bad_event"),
        ("output", {"quality": 101}, {}, "bad_event"),
        ("output", {"width": 100}, {}, "bad_event"),
        ("window", {"frames": 0}, {}, "bad_event"),
        ("window", {"frames": 2**31}, {}, "bad_event"),
        ("turn", {"yaw": float("inf")}, {}, "bad_event"),
    ],
)
def test_no_events(kind, payload, fields, expected):
    assert code(event, kind, payload, **fields) == expected


def test_only_the_image_of_an_init_may_be_large():
    limits = ClientLimits(max_fields_bytes=100)
    image = {"first_frame": b"x" * 500}
    assert unpack(pack({"type": "init", **image}), limits)["first_frame"] == b"x" * 500
    assert unpack(pack({**image, "type": "init"}), limits)["type"] == "init"
    small = {"type": "event", "payload": "x" * 60}
    assert unpack(pack(small), limits) == small
    assert code(unpack, pack({"type": "event", **image}), limits) == "too_large"
    assert code(unpack, pack({"type": "init", "prompt": "x" * 200}), limits) == "too_large"
    assert code(unpack, pack({"type": "init", "prompt": "x" * 90, **image}), limits) == "too_large"
    assert code(unpack, pack(image), limits) == "too_large"
    assert code(unpack, pack({"type": "init" * 20, **image}), limits) == "too_large"


def test_limits_without_options():
    assert ClientLimits() == ClientLimits(
        max_message_bytes=33_554_432,
        max_fields_bytes=262_144,
        max_image_pixels=40_000_000,
        max_pixels=399_360,
        max_prompt_characters=10_000,
        max_script_frames=4096,
        max_events_per_s=60,
        max_rejected=20,
        max_chunks=None,
        max_window=None,
        init_timeout_s=30,
        send_timeout_s=20,
    )


def test_the_fields_beside_an_image_may_have_all_the_bytes_allowed():
    message = {"type": "init", "prompt": "x" * 50, "first_frame": b"x" * 500}
    image = len(msgpack.packb(message["first_frame"]))
    fields = len(pack(message)) - image - 1  # a byte begins the map
    assert unpack(pack(message), ClientLimits(max_fields_bytes=fields)) == message
    assert code(unpack, pack(message), ClientLimits(max_fields_bytes=fields - 1)) == "too_large"


def test_short_fields_beside_an_image_are_no_types():
    message = {"type": "init", "first_frame": b"x" * 500, "size": "32x32"}
    assert unpack(pack(message), ClientLimits(max_fields_bytes=100)) == message
    message = {"size": "init", "first_frame": b"x" * 500, "type": "event"}
    assert code(unpack, pack(message), ClientLimits(max_fields_bytes=100)) == "too_large"


def test_a_message_of_exactly_the_largest_size_is_read():
    message = {"type": "event", "payload": "x" * 50}
    assert unpack(pack(message), ClientLimits(max_fields_bytes=len(pack(message)))) == message
    assert code(unpack, pack(message), ClientLimits(max_fields_bytes=len(pack(message)) - 2)) == "too_large"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "not_messagepack"),
        (b"\xc1", "not_messagepack"),
        (b"\x91" * 5000, "not_messagepack"),
        (msgpack.packb([1]), "not_a_map"),
        (msgpack.packb(None), "not_a_map"),
        (msgpack.packb({b"type": 1}), "not_a_map"),
        (msgpack.packb({1: 1}), "not_messagepack"),
    ],
)
def test_no_messages(data, expected):
    assert code(unpack, data) == expected
    assert code(unpack, data + b"\0" * 9) == "not_messagepack"


def test_a_long_type_of_a_large_message_is_not_decoded():
    def message(length):
        return b"\x82" + msgpack.packb("type") + bytes([0xA0 + length]) + b"\xff" * length + image

    image = msgpack.packb("first_frame") + msgpack.packb(b"x" * 500)
    assert code(unpack, message(30), ClientLimits(max_fields_bytes=100)) == "not_messagepack"  # no UTF-8
    assert code(unpack, message(31), ClientLimits(max_fields_bytes=100)) == "too_large"


def test_errors_show_the_beginning_of_a_long_name():
    long = "x" * 60
    condition = {"condition_inputs": {long: 1}}
    for call, shown in (
        (lambda: event(long), 40),
        (lambda: parsed(**condition), 40),
        (lambda: parse_actions([[long]], LIMITS), 20),
    ):
        with pytest.raises(ProtocolError, match=f"'{'x' * shown}'"):
            call()


def test_errors_are_sent_on_one_line():
    error = ProtocolError("bad", "a\n b " + "x" * 600, retry=False)
    assert (error.exit_code, error.retry, ProtocolError("bad", "a").retry) == (2, False, True)
    plain = error_message(error, extended=False)
    assert plain == {"type": "error", "content": ("a b " + "x" * 600)[:500]}
    assert error_message(error, extended=True) == plain | {"code": "bad", "retry": False}
