"""The realtime protocol as documented."""

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

from lingbot_cli.control import Control
from lingbot_cli.image import crop_to_aspect
from lingbot_cli.model.session import Session
from lingbot_cli.server.input_queue import SampledInput
from lingbot_cli.server.input_to_control import INTRINSICS, StepController
from tests.support.realtime_client import init
from tests.support.reference import sample_image, tiny_world

STATS = {
    *("request_id", "chunk_index", "request_prepare_ms", "scheduler_forward_ms", "pace_wait_ms"),
    *("header_write_ms", "raw_payload_build_ms", "raw_write_ms", "ws_write_ms", "chunk_total_ms"),
    *("num_batches", "num_frames", "raw_bytes", "ws_payload_bytes", "content_type"),
}
BATCH = {
    *("type", "request_id", "chunk_index", "content_type", "num_frames", "total_size", "format", "width"),
    *("height", "channels", "bytes_per_frame", "raw_size", "encoding", "payload_lengths"),
    *("frame_batch_index", "num_frame_batches", "is_final_frame_batch", "payload"),
}


def test_a_script_gives_the_frames_of_a_local_session(served):
    script = [["w"], ["w", "l"], [], ["i"], ["d", "j"], ["s"]]
    with served.client() as client:
        client.send(**init(condition_inputs={"camera_actions": script}, max_chunks=2))
        chunks = [client.chunk() for _ in range(2)]
        assert client.until("session", state="ended")["chunk_index"] == 2
        with pytest.raises(ConnectionClosed):
            client.receive()
        batch = next(m for m in client.messages if m["type"] == "frame_batch")
    assert set(batch) == BATCH
    assert set(chunks[0][1]) >= STATS
    assert [len(frames) for frames, _ in chunks] == [9, 12]
    steering = StepController("a courtyard")
    session = Session(
        tiny_world(),
        crop_to_aspect(sample_image(48, 64), 32, 32),
        height=32,
        width=32,
        seed=42,
        scale=steering.scale,
    )
    letters = ["".join(each) for each in script]
    for (frames, stats), part in zip(chunks, (letters[:3], letters[3:]), strict=True):
        control = steering.control(SampledInput(None, tuple(part), ()), ())
        assert np.allclose(stats["pose"], control.poses[-1].ravel())
        assert (frames == session.step(control).numpy()).all()


def test_published_steps_turn_before_they_walk_and_pitch_at_most_85_degrees():
    steering = StepController("")

    def poses(*keys):
        return steering.control(SampledInput(None, keys, ()), ()).poses

    first = poses("w", "w", "lw")
    assert (first[0] == np.eye(4)).all()
    assert np.allclose(first[1][:3, 3], [0, 0, 0.05], atol=1e-6)
    yaw = np.radians(6)
    assert np.allclose(first[2][:3, 3], [0.05 * np.sin(yaw), 0, 0.05 + 0.05 * np.cos(yaw)], atol=1e-6)
    down = poses(*"kkk" * 10)
    pitches = np.degrees(np.arcsin(down[:, 1, 2]))
    assert pitches[0] == pytest.approx(4)
    assert pitches[-1] == pytest.approx(84)
    assert tuple(steering.control(SampledInput(None, ("",), ()), ()).intrinsics[0]) == INTRINSICS


def test_states_prompts_and_composites_act_on_the_next_chunk_which_names_them(served):
    with served.client() as client:
        client.send(**init())
        client.chunk()
        client.event("pause", event_id=1)
        client.until("session", state="paused")
        client.event(
            "camera_actions", {"mode": "state", "transitions": [{"actions": ["l"], "client_ts_ms": 5}]}, 2
        )
        client.event("prompt", "first", 3)
        client.event("prompt", "then it rains", 5)
        client.event("resume")
        stats = client.until("chunk_stats", event_id=5)
        assert stats["event_ids"][-3:] == [2, 3, 5]
        assert stats["prompt"] == "then it rains"
        batch = [m for m in client.messages if m["type"] == "frame_batch"][-1]
        assert batch["event_id"] == 5
        before = np.array(stats["pose"]).reshape(4, 4)
        after = np.array(client.until("chunk_stats")["pose"]).reshape(4, 4)
        turned = np.linalg.inv(before) @ after
        assert np.degrees(np.arctan2(turned[0, 2], turned[2, 2])) == pytest.approx(18)  # three latent frames
        client.event(
            "composite_input",
            {
                "input_types": ["prompt", "camera_actions"],
                "prompt": "night",
                "camera_actions": [["w"], [], []],
            },
            6,
        )
        stats = client.until("chunk_stats", event_id=6)
        assert stats["prompt"] == "night"


def test_a_bad_init_is_rejected_and_a_valid_one_may_follow(served):
    with served.client() as client:
        for wrong, code in (
            ({"first_frame": "/etc/passwd"}, "first_frame_not_bytes"),
            ({"first_frame": "http://127.0.0.1/a.png"}, "first_frame_not_bytes"),
            ({"first_frame": b"no picture"}, "bad_first_frame"),
            ({"size": "33x32"}, "bad_size"),
            ({"size": "4096x4096"}, "too_large"),
            ({"seed": "x"}, "bad_init"),
            ({"max_chunks": 0}, "bad_init"),
            ({"guidance_scale": 5.0}, "unsupported"),
            ({"num_inference_steps": 50}, "unsupported"),
            ({"enable_upscaling": True}, "unsupported"),
            ({"realtime_causal_kv_cache_num_frames": 2}, "bad_init"),
            ({"max_chunks": 1.5}, "bad_init"),
            ({"prompt": "a" * 10_001}, "prompt_too_long"),
            ({"condition_inputs": {"camera_actions": [["z"]]}}, "unknown_action"),
        ):
            client.send(**init(**wrong))
            answer = client.receive()
            assert (answer["type"], answer["code"], answer["retry"]) == ("error", code, True), answer
            assert "\n" not in answer["content"]
        client.send(**init(max_chunks=1))
        assert len(client.chunk()[0]) == 9


def test_a_blank_prompt_is_the_default(served):
    with served.client() as client:
        client.send(**init(prompt=" \n", camera={}, max_chunks=1))
        assert client.until("session")["prompt"] == "a courtyard"
        assert len(client.chunk()[0]) == 9


def test_a_bad_event_is_rejected_and_the_session_continues(served):
    with served.client() as client:
        client.send(**init(realtime_output_pacing=True))
        client.chunk()
        for kind, payload, code in (
            ("fly", None, "unknown_event"),
            ("prompt", "", "bad_prompt"),
            ("prompt", 7, "bad_prompt"),
            ("camera_actions", [["w", "x"]], "unknown_action"),
            ("camera_actions", "w", "bad_actions"),
            ("camera_actions", {"mode": "state", "transitions": []}, "bad_actions"),
            ("composite_input", {"input_types": ["prompt"]}, "bad_event"),
            (
                "composite_input",
                {"input_types": ["prompt", "camera_actions"], "prompt": "no", "camera_actions": 3},
                "bad_actions",
            ),
            ("control", {"poses": []}, "bad_event"),
        ):
            client.event(kind, payload, 9)
            assert client.until("error")["code"] == code
        stats = client.until("chunk_stats")
        assert stats["prompt"] == "a courtyard"
        assert stats["event_ids"] == []


@pytest.mark.parametrize(("form", "quality"), [("jpeg", 90), ("webp", 80)])
def test_encoded_frames_come_six_a_message_in_the_requested_width(served, form, quality):
    with served.client() as client:
        client.send(
            **init(realtime_output_format=form, output_compression=quality, realtime_preview_max_width=16)
        )
        frames, stats = client.chunk()
        assert frames.shape == (9, 16, 16, 3)
        assert stats["content_type"] == f"image/{form}"
        batches = [m for m in client.messages if m["type"] == "frame_batch"]
        assert [b["num_frames"] for b in batches] == [6, 3]
        assert [b["is_final_frame_batch"] for b in batches] == [False, True]
        client.event("output", {"format": "raw", "max_width": 8192})
        client.until("frame_batch", format="rgb24", width=32)


def test_exact_poses_give_the_frames_of_a_local_session(served):
    from tests.support.reference import walk

    controls = walk(2)
    session = Session(
        tiny_world(), crop_to_aspect(sample_image(48, 64), 32, 32), height=32, width=32, seed=42, scale=0.2
    )
    with served.client() as client:
        client.send(**init(controls=True, scale=0.2))
        for number, control in enumerate(controls):
            client.event("control", sent(control), number)
        for number, control in enumerate(controls):
            frames, stats = client.chunk()
            assert stats["event_id"] == number
            assert (frames == session.step(control).numpy()).all()


def sent(control: Control):
    return {
        "poses": control.poses.reshape(-1, 16).tolist(),
        "intrinsics": control.intrinsics.tolist(),
        "actions": control.actions.tolist(),
        "prompt": control.prompt,
    }
