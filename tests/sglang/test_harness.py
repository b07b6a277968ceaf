"""The published test harness of SGLang collects sessions from `lingbot serve`."""

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest

from tests.support.realtime_client import png
from tests.support.reference import tiny_world
from tests.support.serving import TOKEN, serving
from tests.support.sglang_modules import HARNESS, load, published


@pytest.fixture(scope="module")
def harness():
    with published():
        yield load(HARNESS)


def collect(harness, port, *, events=(), chunks=3, size="32x32", **init):
    params = SimpleNamespace(
        prompt="a courtyard", seconds=None, fps=16, num_frames=9, realtime_output_format="raw", extras=init
    )
    payload = harness.build_realtime_init_payload(
        model_path="built-in", sampling_params=params, output_size=size, first_frame=png()
    )
    return asyncio.run(
        harness.collect_realtime_output(
            ws_url=f"ws://127.0.0.1:{port}/v1/realtime_video/generate?token={TOKEN}",
            init_payload=payload,
            events=list(events),
            num_chunks=chunks,
            require_chunk_stats=True,
        )
    )


@pytest.mark.parametrize("size", ["32x32", "128x96"])  # payloads below and above 65,536 bytes
def test_it_collects_every_frame_and_its_stats(harness, size):
    with serving(world=tiny_world()) as served:
        events = [
            {"kind": "camera_actions", "payload": [["w"], ["w", "l"], []], "after_chunk": 0, "event_id": 7},
            {"kind": "prompt", "payload": "it rains", "after_chunk": 1, "event_id": 8},
        ]
        found = collect(harness, served.port, events=events, chunks=4, size=size, max_chunks=4)
    width, height = (int(side) for side in size.split("x"))
    assert found.frames[0].shape == (height, width, 3)
    assert len(found.frames) == sum(stats.num_frames for stats in found.chunk_stats)
    assert [stats.chunk_index for stats in found.chunk_stats] == [0, 1, 2, 3]
    summary = harness.summarize_realtime_perf_stats(found.chunk_stats)
    assert summary["avg_chunk_total_ms"] >= summary["avg_scheduler_forward_ms"] >= 0
    assert np.std(np.stack(found.frames)) > 0
