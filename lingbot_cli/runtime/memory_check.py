"""Memory check: whether a run fits the free memory, and the options with which it would."""

from dataclasses import fields, replace

from lingbot_cli.errors import InsufficientMemoryError
from lingbot_cli.presets import Preset
from lingbot_cli.runtime.memory import MemoryEstimate, MemorySetup, estimate_memory, gigabytes


def check_fits(preset: Preset, setup: MemorySetup, free: int, free_host: int) -> MemoryEstimate:
    """Return the estimate if it fits. Errors: InsufficientMemoryError with the options that would fit."""
    needed = estimate_memory(preset, setup)
    if needed.peak <= free and needed.host <= free_host:
        return needed
    ways = [
        (flags, other, max(0, needed.peak - other.peak) + max(0, needed.host - other.host))
        for flags, other in _smaller_setups(preset, setup)
    ]
    enough = [f"{flags} (saves {gigabytes(saved)})" for flags, other, saved in ways
              if other.peak <= free and other.host <= free_host]  # fmt: skip
    short = (
        f"{preset.name} at {setup.width}x{setup.height} needs {gigabytes(needed.peak)} on {setup.device}"
        + (f" and {gigabytes(needed.host)} of RAM beside it" if needed.host else "")
        + f"; free: {gigabytes(free)}"
        + (f" and {gigabytes(free_host)}" if needed.host else "")
    )
    if enough:
        raise InsufficientMemoryError(short, hint="any of these fits: " + "; ".join(enough[:5]))
    less = min(ways, key=lambda way: way[1].peak, default=None)
    raise InsufficientMemoryError(
        short,
        hint=f"not even {less[0]} fits ({gigabytes(less[1].peak)}): use a smaller model or a larger device"
        if less
        else "use a smaller model or a larger device",
    )


def largest_decode_batch(preset: Preset, setup: MemorySetup, free: int) -> MemorySetup:
    """Return a GPU's setup with the most latents decoded in one call that its free bytes allow."""
    if setup.device == "cpu" or setup.decode_on is not None:
        return setup
    ways = (replace(setup, decode_batch=count) for count in range(preset.chunk, 1, -1))
    return next((way for way in ways if estimate_memory(preset, way).peak <= free), setup)


def _smaller_setups(preset: Preset, setup: MemorySetup) -> list[tuple[str, MemoryEstimate]]:
    """Return options that reduce memory, the mildest first, then combined, with their estimates."""
    steps: list[tuple[str, Preset, MemorySetup]] = []
    smallest = preset.sink + preset.chunk
    if setup.text_on != "cpu":
        steps.append(("--text-on cpu", preset, replace(setup, text_on="cpu")))
    if setup.device != "cpu" and not setup.offload:
        steps.append(("--offload", preset, replace(setup, offload=True)))
    if setup.precision == "float32":
        steps.append(("--precision bfloat16", preset, replace(setup, precision="bfloat16")))
    if setup.precision in ("float32", "bfloat16") and not setup.linears and setup.block_bytes is None:
        steps.append(("--precision fp8", preset, replace(setup, precision="fp8")))
    if not setup.kv_cache:
        steps.append(("--kv-cache int8", preset, replace(setup, kv_cache="int8")))
    if preset.window < 0 or preset.window > smallest:
        window = max(smallest, 12) if preset.window < 0 or preset.window > 12 else smallest
        steps.append((f"--window {window}", replace(preset, window=window), setup))
    for share in (0.75, 0.5):
        height, width = (max(16, int(side * share) // 16 * 16) for side in (setup.height, setup.width))
        steps.append((f"--size {width}x{height}", preset, replace(setup, height=height, width=width)))
    whole = estimate_memory(preset, setup)
    tried = [(step, estimate_memory(*step[1:])) for step in steps]
    tried = [(step, each) for step, each in tried if each.peak < whole.peak or each.host < whole.host]
    steps = [step for step, _ in tried]
    ways = [(flags, each) for (flags, *_), each in tried]
    flags: list[str] = []
    both, all_of_it = preset, setup
    for name, p, s in steps:
        changed = {
            f.name: getattr(s, f.name)
            for f in fields(MemorySetup)
            if getattr(s, f.name) != getattr(setup, f.name)
        }
        flags = [flag for flag in flags if flag.split()[0] != name.split()[0]] + [name]
        both = replace(both, window=p.window) if p.window != preset.window else both
        all_of_it = replace(all_of_it, **changed)
        if len(flags) > 1:
            ways.append((" ".join(flags), estimate_memory(both, all_of_it)))
    return ways
