"""Every saving of the benchmark gives the same video as the published configuration."""

import torch

from benchmarks.savings import STEPS, render_video
from tests.support.reference import tiny_world


def test_no_saving_changes_the_film():
    latents, video = render_video(tiny_world(), STEPS[0][1], 48, 80, 5)
    for _, on in STEPS[1:]:
        made, shown = render_video(tiny_world(), on, 48, 80, 5)
        torch.testing.assert_close(made, latents, atol=1e-4, rtol=0)
        torch.testing.assert_close(shown, video, atol=1e-3, rtol=0)
