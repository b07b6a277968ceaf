"""Memory of live sessions: the bytes that are free for them, and those of one."""

from dataclasses import dataclass, replace

from lingbot_cli.presets import Preset
from lingbot_cli.runtime.hardware import MARGIN
from lingbot_cli.runtime.memory import MemoryEstimate, MemorySetup, estimate_memory


@dataclass(frozen=True)
class SessionMemory:
    """Free bytes for the sessions of a preset: `on_device`, and `on_host`, which are the same memory on the CPU.

    `setup` has the default size.
    """

    preset: Preset
    setup: MemorySetup
    on_device: int
    on_host: int

    @classmethod
    def beside(
        cls, preset: Preset, setup: MemorySetup, needed: MemoryEstimate, free: int, free_host: int
    ) -> "SessionMemory":
        """Return what the model and the rendering of a chunk leave free; a margin of the host's stays free."""
        sessions = needed.keys_values + needed.state
        on_device, on_host = free - needed.peak + sessions, free_host - needed.host
        margin = int(MARGIN * free_host)
        if setup.device == "cpu":
            return cls(preset, setup, on_device - margin, on_device - margin)
        return cls(preset, setup, on_device, on_host - margin)

    def session_bytes(self, preset: Preset, height: int, width: int) -> int:
        """Return the estimated bytes on the device of a session of a size, with the window of its preset."""
        latents = max(preset.window, preset.chunk)
        setup = replace(self.setup, height=height, width=width, latents=latents, sessions=1)
        estimate = estimate_memory(preset, setup)
        return estimate.keys_values + estimate.state

    @property
    def sessions(self) -> int:
        """Number of sessions of the default size that fit, at least one."""
        return max(1, self.on_device // self.session_bytes(self.preset, self.setup.height, self.setup.width))

    def holds(self, on_device: int, on_host: int) -> bool:
        """Return whether sessions of so many bytes fit."""
        if self.setup.device == "cpu":
            return on_device + on_host <= self.on_device
        return on_device <= self.on_device and on_host <= self.on_host
