"""Memory estimate of a run, from its preset, size and the build of torch, which is not imported."""

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from lingbot_cli.presets import Preset
from lingbot_cli.runtime.vae_memory import MAX_BATCH_PIXELS, vae_past, vae_weights, vae_work

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "fp8": 1}
RUNTIME = {"cpu": 312_000_000, "cuda": 700_000_000}
"""Bytes of the interpreter with its libraries, or of a GPU context with its workspaces."""
CUDA_LIBRARIES = 375_000_000
"""Additional bytes of a torch build for GPUs, with or without one."""
TEXT_RUNTIME = 130_000_000
"""Bytes of the tokenizer library, which are never freed; cached prompts do not need it."""
KV_BLOCK_BYTES = 64 << 20
"""Bytes of keys and values of an 8-bit KV cache that are dequantised at a time: at least one head's."""
PACKED_WORK = 300_000_000
"""Most bytes of the piece of a packed weight that is unpacked at once, in float32 with its intermediate values."""
UMT5_XXL = 5_680_910_336
"""Parameters of the published text encoder, stored in bfloat16."""


@dataclass(frozen=True)
class MemorySetup:
    """The choices that determine memory.

    `latents`: latent frames of the video, 0 if unknown. `read_prompts`: the text encoder is loaded, because a prompt
    is not cached. `decode_batch`: latents decoded in one call, None for as many as any device takes at that size.
    `decode_on`: another device that decodes. `block_bytes`: of the transformer's packed blocks, `text_bytes` of a
    packed text encoder; None for plain ones. `gpus`: processes that share each chunk's tokens and the heads of its
    attention; each has all weights, and the first one decodes. `sessions` are in memory at once; `live` ones take
    prompts at any time, so that the text encoder stays loaded.
    """

    height: int
    width: int
    device: str = "cpu"
    precision: str = "float32"
    decode: str = "float32"
    text_on: str = "cpu"
    offload: bool = False
    latents: int = 0
    linears: str | None = None
    kv_cache: str | None = None
    decode_batch: int | None = None
    decode_on: str | None = None
    read_prompts: bool = True
    block_bytes: int | None = None
    text_bytes: int | None = None
    gpus: int = 1
    sessions: int = 1
    live: bool = False


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes of this process by part; `transformer` to `work` are on the device, `host` in RAM beside it.

    `decoder` is on another device that decodes. The text encoder is released before the rest is loaded, and `host` is
    the peak of both times; one that stays counts as `runtime` where it is on the device.
    """

    transformer: int
    vae: int
    keys_values: int
    state: int
    work: int
    runtime: int
    text: int
    decoder: int
    host: int

    @property
    def peak(self) -> int:
        """The most bytes that the device holds at once."""
        rest = self.transformer + self.vae + self.keys_values + self.state + self.work
        return self.runtime + max(rest, self.text)


def estimate_memory(preset: Preset, setup: MemorySetup) -> MemoryEstimate:
    """Return the memory of a run with a preset and a setup."""
    size = BYTES[setup.precision]
    size_of_activations = max(size, 2)
    on_cpu = setup.device == "cpu"
    resident, streamed = _transformer_bytes(preset, setup, size)
    if on_cpu:  # the slots that blocks stream through are in the same memory as the blocks
        resident, streamed = resident + streamed, 0
    plain_text = (
        2 * UMT5_XXL if preset.text_dim == 4096 else 4 * preset.text_dim * (8 * preset.text_dim + 1024)
    )
    text = (plain_text if setup.text_bytes is None else setup.text_bytes + PACKED_WORK) * setup.read_prompts
    on_device = setup.text_on != "cpu" or on_cpu
    staying = text if setup.live else 0
    decodes_apart = setup.decode_on not in (None, setup.device)
    encoder, decoder = vae_weights(preset, BYTES[setup.decode])
    encoder_state, decoder_state = vae_past(preset, setup.height * setup.width, BYTES[setup.decode])
    prompt = 2 * preset.layers * preset.text_len * preset.dim * size_of_activations
    forward = _transformer_work(preset, setup, size_of_activations)
    encoding = _vae_work(preset, setup, None, 4)
    decoding = _vae_work(preset, setup, setup.decode_batch, BYTES[setup.decode])
    apart = decoder + decoder_state + decoding if decodes_apart else 0
    if decodes_apart:
        decoder = decoder_state = decoding = 0
    # A chunk is decoded while the next one is encoded and denoised. On a GPU these are two streams, and PyTorch
    # keeps what each has freed in a pool of its own.
    if not on_cpu:
        work = max(forward, encoding) + decoding
    elif _chunks(preset, setup) > 1:
        work = forward + max(decoding, encoding)
    else:
        work = max(forward, decoding, encoding)
    decoder_host = apart if setup.decode_on == "cpu" else 0
    host = decoder_host + streamed
    if not on_device:
        host = max(host + staying, text)
    if not on_cpu:
        host += _host_runtime() + (0 if on_device else TEXT_RUNTIME * setup.read_prompts)
    runtime = _host_runtime() + TEXT_RUNTIME * setup.read_prompts if on_cpu else RUNTIME["cuda"]
    return MemoryEstimate(
        transformer=resident,
        vae=encoder + decoder,
        keys_values=_keys_values(preset, setup, size_of_activations) * setup.sessions,
        state=(prompt + encoder_state + decoder_state) * setup.sessions,
        work=work,
        runtime=runtime + staying * on_device,
        text=(text - staying) * on_device,
        decoder=apart - decoder_host,
        host=host,
    )


def gigabytes(count: float) -> str:
    """Return bytes as text in GB."""
    return f"{count / 1e9:.2f} GB" if count < 10e9 else f"{count / 1e9:.1f} GB"


def _outer_parameters(preset: Preset) -> int:
    d, control = preset.dim, 4 * (384 if preset.control == "cam" else 448)
    linear = d * d + d
    return (
        (36 * 4 * d + d)
        + (control * d + d + 2 * linear)
        + (preset.text_dim * d + d + linear)
        + (preset.freq_dim * d + d + linear + 6 * linear)
        + (64 * d + 64 + 2 * d)
    )


def _block_parameters(preset: Preset) -> int:
    d, f = preset.dim, preset.ffn
    return 12 * (d * d + d) + 4 * d + 2 * d + 2 * d * f + f + d + 6 * d


def _transformer_bytes(preset: Preset, setup: MemorySetup, size: int) -> tuple[int, int]:
    """Return the bytes on the device, and those in host memory: every block, if two at a time are on the device."""
    outer = _outer_parameters(preset) * max(size, 2)
    block = _block_parameters(preset) * (1 if setup.linears else size)
    if setup.block_bytes is not None:
        block = setup.block_bytes // preset.layers
    if setup.offload:
        return outer + min(2, preset.layers) * block, preset.layers * block
    return outer + preset.layers * block, 0


def _tokens(setup: MemorySetup) -> int:
    return setup.height * setup.width // 256


def _chunks(preset: Preset, setup: MemorySetup) -> float:
    """Return the chunks of the video, infinitely many if unknown."""
    return setup.latents / preset.chunk if setup.latents else float("inf")


def _keys_values(preset: Preset, setup: MemorySetup, size: int) -> int:
    """Return the bytes of the KV cache of every layer; without a window its buffers double as they fill.

    Main memory is taken only when it is written to: a short video leaves a part of the window free.
    """
    slots = preset.window
    if slots < 0:
        slots = max(preset.chunk, 2 * setup.latents)
    elif setup.device == "cpu" and setup.latents:
        slots = min(slots, setup.latents)
    token = preset.dim * size
    if setup.kv_cache:  # with a scale of two bytes a head
        token = preset.dim + 2 * preset.heads
    return 2 * preset.layers * slots * _tokens(setup) * token // setup.gpus


def _dequantised_block(preset: Preset, setup: MemorySetup, size: int) -> int:
    """Return the bytes of the keys and values that are dequantised at a time, from an 8-bit cache."""
    if not setup.kv_cache:
        return 0
    frames = preset.window if preset.window >= 0 else max(preset.chunk, setup.latents)
    heads = preset.heads // setup.gpus
    whole = 2 * frames * _tokens(setup) * preset.dim * size // setup.gpus
    return min(whole, max(KV_BLOCK_BYTES, whole // heads))


def _vae_work(preset: Preset, setup: MemorySetup, batch: int | None, size: int) -> int:
    """Return the bytes of the VAE's feature maps, for a batch of latents or as many as any device takes."""
    pixels = setup.height * setup.width
    latents = batch or min(preset.chunk, max(1, MAX_BATCH_PIXELS // (4 * pixels)))
    one_chunk = _chunks(preset, setup) <= 1 and latents == preset.chunk
    return vae_work(preset, pixels, latents, size, one_chunk=one_chunk, on_cpu=setup.device == "cpu")


def _transformer_work(preset: Preset, setup: MemorySetup, size: int) -> int:
    """Return the bytes of a forward: the residual stream twice in float32, then feed-forward or rotated keys."""
    tokens, d = -(-preset.chunk * _tokens(setup) // setup.gpus), preset.dim
    camera = (2 * preset.layers + 1) * tokens * d * size
    feed_forward = tokens * (d * (8 + size) + 2 * preset.ffn * size)
    attention = tokens * d * (4 + 5 * size + (12 if size < 4 else 8)) + _dequantised_block(
        preset, setup, size
    )
    time_weights = 7 * d * d * 4 if size < 4 and setup.device == "cpu" else 0  # once, on the CPU
    modulation = 4 * tokens * d + time_weights
    dequantised = preset.ffn * d * 2 if setup.precision == "fp8" and not setup.linears else 0
    if setup.block_bytes is not None and setup.precision != "fp8":
        dequantised = preset.ffn * d * size + PACKED_WORK
    if setup.linears:  # scaled tokens and their eight bits, and both widened where eight bits are emulated
        dequantised = tokens * preset.ffn * (size + 1)
        dequantised += (tokens * preset.ffn + preset.ffn * d) * size if setup.device == "cpu" else 0
    return camera + max(feed_forward, attention, modulation) + dequantised


@cache
def _host_runtime() -> int:
    """Return the bytes of the interpreter with this machine's torch."""
    spec = find_spec("torch")
    folders = spec.submodule_search_locations if spec is not None else None
    for_gpus = any(Path(folder, "lib", "libtorch_cuda.so").exists() for folder in folders or ())
    return RUNTIME["cpu"] + CUDA_LIBRARIES * for_gpus
