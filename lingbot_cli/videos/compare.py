"""Comparison of two videos: PSNR and SSIM frame by frame, and their metadata."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from lingbot_cli.errors import UsageError
from lingbot_cli.videos.read import read_frames

_WINDOW = 7
_LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class VideoComparison:
    """Result of a comparison; `psnr` (dB, infinite for equal frames) and `ssim` cover the frames of both.

    `first_difference` is the first frame that differs or is missing in one; None for equal videos. `metadata`
    has the values that differ, by dotted name.
    """

    frames: tuple[int, int]
    first_difference: int | None
    psnr: float
    psnr_min: float
    ssim: float
    ssim_min: float
    metadata: dict[str, tuple[Any, Any]]

    def is_within(self, psnr: float | None, ssim: float | None) -> bool:
        """Return whether the videos are equal, or as long and every frame at or above the given minimum."""
        if psnr is None and ssim is None:
            return self.first_difference is None
        return (
            self.frames[0] == self.frames[1]
            and self.psnr_min >= (psnr if psnr is not None else -np.inf)
            and self.ssim_min >= (ssim if ssim is not None else -np.inf)
        )


def compare_videos(
    ffmpeg: str, one: Path, other: Path, metadata: dict[str, tuple[Any, Any]]
) -> VideoComparison:
    """Read two videos side by side. Errors: UsageError for frames of different sizes."""
    counts, first = [0, 0], None
    errors, similarities = [], []
    for index, (a, b) in enumerate(zip_longest(read_frames(ffmpeg, one), read_frames(ffmpeg, other))):
        counts[0] += a is not None
        counts[1] += b is not None
        if a is None or b is None:
            first = index if first is None else first
            continue
        if a.shape != b.shape:
            sizes = [f"{frame.shape[1]}x{frame.shape[0]}" for frame in (a, b)]
            raise UsageError(
                f"{one} is {sizes[0]} and {other} is {sizes[1]}", hint="compare videos of one size"
            )
        if first is None and not np.array_equal(a, b):
            first = index
        errors.append(float(((a.astype(np.float64) - b) ** 2).mean()))
        similarities.append(ssim(a, b) if errors[-1] else 1.0)
    if not errors:
        raise UsageError(f"{one if not counts[0] else other} has no frames")
    return VideoComparison(
        frames=(counts[0], counts[1]),
        first_difference=first,
        psnr=_psnr_db(float(np.mean(errors))),
        psnr_min=_psnr_db(max(errors)),
        ssim=float(np.mean(similarities)),
        ssim_min=min(similarities),
        metadata=metadata,
    )


def ssim(one: np.ndarray, other: np.ndarray) -> float:
    """Return the structural similarity of two frames' luma (Wang et al. 2004), windows of 7×7 pixels."""
    a, b = one @ _LUMA, other @ _LUMA
    size = min(_WINDOW, *a.shape)
    mean_a, mean_b = _window_means(a, size), _window_means(b, size)
    variance_a = _window_means(a * a, size) - mean_a**2
    variance_b = _window_means(b * b, size) - mean_b**2
    covariance = _window_means(a * b, size) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    numerator = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    denominator = (mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2)
    return float((numerator / denominator).mean())


def metadata_differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the values that differ between two videos' metadata, by dotted name; None for a missing one."""
    flat = [dict(_flatten(metadata, "")) for metadata in (one, other)]
    names = dict.fromkeys([*flat[0], *flat[1]])
    pairs = {name: (flat[0].get(name), flat[1].get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _flatten(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _flatten(each, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _window_means(values: np.ndarray, size: int) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(values, (size, size))
    return windows.mean((-2, -1))


def _psnr_db(error: float) -> float:
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))
