"""The published realtime server of SGLang with a generator that draws what it was asked.

`python -m tests.support.sglang_server LOG` serves on a free port of the loopback interface and prints it. API,
sessions, adapters and queues are the published ones (see `sglang_modules`); the model is not: chunk k is flat
frames of `colour(k)`. Each chunk adds a line to LOG: its prompt, camera actions, size, seed and first image.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.support.sglang_modules import REALTIME, load, published

CHUNK = 3
WAIT_S = 60.0


def colour(chunk: int) -> tuple[int, int, int]:
    """Return the colour of every frame of a chunk."""
    return (40 * chunk % 256, 255 - 40 * chunk % 256, 7 * chunk % 256)


class Generator:
    """Stands in for scheduler and model; `pause_s` is how long a chunk takes."""

    def __init__(self, log: Path, pause_s: float, fail_at: int | None) -> None:
        self._log, self._pause_s, self._fail_at = log, pause_s, fail_at

    async def __call__(self, _client: object, batch: SimpleNamespace) -> tuple[None, SimpleNamespace]:
        await asyncio.sleep(self._pause_s)
        if batch.block_idx == self._fail_at:
            raise RuntimeError("the generator failed\nwith a second line")
        width, height = batch.width, batch.height
        line = {
            "chunk": batch.block_idx,
            "prompt": batch.prompt,
            "actions": batch.condition_inputs.get("camera_actions"),
            "prompt_updated": batch.condition_inputs.get("lingbot_prompt_updated", False),
            "size": [width, height],
            "seed": batch.seed,
            "image_bytes": Path(batch.image_path).stat().st_size if batch.image_path else 0,
        }
        with self._log.open("a") as out:
            out.write(json.dumps(line) + "\n")
        frame = np.broadcast_to(np.array(colour(batch.block_idx), np.uint8), (height, width, 3)).tobytes()
        count = 4 * CHUNK - 3 if batch.block_idx == 0 else 4 * CHUNK
        return None, SimpleNamespace(
            raw_frame_batches=[[frame] * count],
            raw_frame_content_type="application/x-raw-rgb",
            raw_frame_metadata=None,
        )


def _sampling_params(request_id: str, **given: Any) -> SimpleNamespace:
    width, height = (int(side) for side in given["size"].split("x"))
    return SimpleNamespace(request_id=request_id, width=width, height=height, **given)


def _request(server_args: object, sampling_params: SimpleNamespace) -> SimpleNamespace:
    del server_args
    return SimpleNamespace(
        **{**vars(sampling_params), "condition_inputs": sampling_params.condition_inputs or {}}
    )


async def _save_image(image: bytes, target_path: str, uploads_root: str) -> str:
    del uploads_root
    if not isinstance(image, bytes):
        raise ValueError("only bytes are taken here")
    Path(target_path).write_bytes(image)
    return target_path


def _app(generator: Generator) -> Any:
    """Build the published router's application, its collaborators outside the realtime modules replaced."""
    from fastapi import FastAPI

    runtime = REALTIME.split(".entrypoints")[0]
    arguments = SimpleNamespace(
        pipeline_config=load(
            "sglang.multimodal_gen.configs.pipeline_configs.lingbot_world"
        ).LingBotWorldCausalDMDConfig(),
        input_save_path=None,
    )
    arguments.pipeline_config.dit_config = SimpleNamespace(
        arch_config=SimpleNamespace(num_frames_per_block=CHUNK)
    )
    arguments.pipeline_config.vae_config = SimpleNamespace(
        arch_config=SimpleNamespace(temporal_compression_ratio=4)
    )
    load(f"{runtime}.server_args").get_global_server_args = lambda: arguments
    utils = load(f"{runtime}.entrypoints.openai.utils")
    utils.process_generation_batch = generator
    utils.build_sampling_params = _sampling_params
    utils.save_image_to_path = _save_image
    load(f"{runtime}.entrypoints.utils").prepare_request = _request

    async def forward(_request: object) -> None:
        return None

    load(f"{runtime}.scheduler_client").async_scheduler_client = SimpleNamespace(forward=forward)
    app = FastAPI()
    app.include_router(load(f"{REALTIME}.realtime_video_api").router)

    @app.get("/v1/models")
    def models() -> dict[str, Any]:
        return {
            "object": "list",
            "data": [{"id": "robbyant/lingbot-world-fast-diffusers", "object": "model", "num_gpus": 1}],
        }

    return app


def main() -> None:
    """Serve until killed."""
    import uvicorn

    log = Path(sys.argv[1])
    pause_s = float(os.environ.get("SGLANG_STUB_PAUSE_S", "0"))
    fail_at = os.environ.get("SGLANG_STUB_FAIL_AT")
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    bound.listen(16)
    with published():
        app = _app(Generator(log, pause_s, None if fail_at is None else int(fail_at)))
        print(bound.getsockname()[1], flush=True)
        config = uvicorn.Config(app, log_level="warning", ws_max_size=2**28)
        asyncio.run(uvicorn.Server(config).serve(sockets=[bound]))


class SglangServer:
    """A running one: its address and what it was asked, chunk by chunk."""

    def __init__(self, port: int, log: Path) -> None:
        self.url = f"ws://127.0.0.1:{port}"
        self._log = log

    def chunks(self) -> list[dict[str, Any]]:
        """Return the lines of its log."""
        return [json.loads(line) for line in self._log.read_text().splitlines()] if self._log.exists() else []


@contextmanager
def sglang_server(folder: Path, **environ: str):
    """Run the published server in a process of its own; ended with the block."""
    log = folder / "sglang.jsonl"
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.support.sglang_server", str(log)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environ,
        cwd=Path(__file__).parents[2],
    )
    try:
        assert child.stdout is not None
        port = child.stdout.readline().strip()
        assert port, "the published server did not start"
        yield SglangServer(int(port), log)
    finally:
        child.kill()
        child.wait(WAIT_S)


if __name__ == "__main__":
    main()
