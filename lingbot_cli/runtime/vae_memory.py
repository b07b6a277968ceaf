"""Memory of the VAE in bytes: weights, past frames of its convolutions, feature maps."""

from lingbot_cli.operating_system import MMAP_THRESHOLD_BYTES
from lingbot_cli.presets import Preset

MAX_BATCH_PIXELS = 1_000_000
"""The VAE's limit of image size times frames in a pass."""
RESIDUAL_MAPS = 5.0
"""Number of its largest feature maps that the VAE holds at once, in a residual block's second convolution: the
block's input, the first convolution's output, its activation joined to the past, the output; and on the CPU a summand
of the encoder's output, on a GPU the convolution's workspace."""
HEAP_MAPS, HEAP_MAPS_ALONE = 8, 3
"""Number of freed maps, of the largest that the heap keeps, measured beside those in use; fewer in a video of one
chunk, whose stages do not overlap."""
_LATENT_CHANNELS = 16


def vae_weights(preset: Preset, decode: int) -> tuple[int, int]:
    """Return the bytes of encoder and decoder, whose values have `decode` bytes, from their convolutions."""
    widths = [preset.vae_dim * m for m in preset.vae_mult]
    first, last, blocks = preset.vae_dim, widths[-1], preset.vae_blocks
    middle = (4 * 27 + 4) * last**2
    encoder = 27 * 3 * first + middle + 27 * last * 2 * _LATENT_CHANNELS
    decoder = 27 * _LATENT_CHANNELS * last + middle + 27 * widths[0] * 3
    for level, (finer, width) in enumerate(zip([first, *widths], widths, strict=False)):
        encoder += _level_weights(finer, width, blocks)
        if level < len(widths) - 1:  # the step into the next level, in time too but for the first
            encoder += (9 + 3 * (level > 0)) * width**2
    for level, (width, coarser) in enumerate(zip(widths, [*widths[1:], 2 * last], strict=True)):
        decoder += _level_weights(coarser // 2, width, blocks + 1)
        if level:
            decoder += 9 * width**2 // 2 + 6 * width**2 * (level > 1)
    return encoder * 4, decoder * decode


def _level_weights(before: int, width: int, blocks: int) -> int:
    shortcut = before * width if before != width else 0
    return 27 * width * (before + (2 * blocks - 1) * width) + shortcut


def vae_past(preset: Preset, pixels: int, decode: int) -> tuple[int, int]:
    """Return the bytes of past frames in encoder and decoder: two of every convolution's input."""
    m0, m1, m2, m3 = preset.vae_mult
    inner = 2 * preset.vae_blocks - 1  # convolutions of a level after its first
    encoder = (
        (1 + inner) * m0
        + (m0 + inner * m1) / 4
        + (m1 + inner * m2 + m1 / 2) / 16
        + (m2 + inner * m3 + 5 * m3 + m2 / 2) / 64
    )
    inner += 2  # a block more
    decoder = (
        (inner + 1 + 4 + 1) * m3 / 64
        + (m3 / 2 + inner * m2 + m2) / 16
        + (m2 / 2 + inner * m1) / 4
        + (m1 / 2 + inner * m0 + m0)
    )
    frames = 2 * preset.vae_dim * pixels
    return int(frames * encoder * 4), int(frames * decoder * decode)


def vae_work(preset: Preset, pixels: int, latents: int, size: int, *, one_chunk: bool, on_cpu: bool) -> int:
    """Return the bytes of the feature maps of a batch of latents, in the encoder or the decoder.

    `size` is that of a value; `one_chunk`: the batch is a whole video, whose first latent is one frame.
    """
    _, m1, m2, m3 = preset.vae_mult
    feature_map = preset.vae_dim * pixels * size
    whole = feature_map * (4 * latents - 3 * one_chunk)
    # The last upsampling holds the level below, that at full size, and its convolution's output.
    maps = max(RESIDUAL_MAPS, m1 / 4 + m1 + m1 / 2)
    frames = (3 * 4 * 3 * 4 * latents + 3 * 4 * preset.chunk) * pixels
    if on_cpu:
        frames *= 2  # the decoder's, and those that the outputs still hold
    levels = (whole, whole * m1 // 4, whole * m2 // 32, whole * m3 // 256)
    largest = max((level for level in levels if level <= MMAP_THRESHOLD_BYTES), default=0)
    heap = (HEAP_MAPS_ALONE if one_chunk else HEAP_MAPS) * largest
    return int(maps * whole + 2 * feature_map) + frames + heap * on_cpu
