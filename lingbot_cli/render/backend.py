"""Backend of a render: this process, a process group on several GPUs, or a server."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from lingbot_cli.render.chunk_plan import ChunkTask, SavedChunks
from lingbot_cli.render.multi_gpu import ProcessGroup
from lingbot_cli.render.pipeline import RenderedChunk, RenderResult
from lingbot_cli.render.request import PreparedVideo
from lingbot_cli.runtime.autotune import Tuning
from lingbot_cli.sinks.base import Sink
from lingbot_cli.ui.display import Display

if TYPE_CHECKING:
    from lingbot_cli.model.world_model import WorldModel

LoadPrepared = Callable[[PreparedVideo], "WorldModel"]
OnTask = Callable[[ChunkTask], None]
SaveChunk = Callable[[RenderedChunk], None]


class Backend(Protocol):
    """Computes the frames of one video. The methods are called once each, in this order."""

    @property
    def measures_speed(self) -> bool:
        """True when the run's speed predicts the next one's on this machine."""

    def preflight(self) -> None:
        """Raise every error that can be known before loading."""

    def choose_tuning(self, previous: Tuning | None) -> Tuning | None:
        """Return kernel and threads, those of a `previous` run first; None where the server chooses."""

    def precision(self) -> str | None:
        """Return the transformer's precision; None where the server chooses."""

    def load(self, display: Display) -> None:
        """Load and compile the model."""

    def run(
        self,
        saved: SavedChunks,
        sink: Sink,
        stopped: Callable[[], bool],
        on_task: OnTask,
        save_chunk: SaveChunk | None,
    ) -> RenderResult:
        """Render into an open sink until the video is complete or `stopped`; the frames of `saved` are written."""

    def finish(self) -> None:
        """Disconnect from other processes."""


def choose_backend(
    prepared: PreparedVideo,
    display: Display,
    *,
    load: LoadPrepared | None = None,
    group: ProcessGroup | None = None,
) -> Backend:
    """Return the backend of a video; `load` may return a loaded model and checks memory itself."""
    if prepared.request.remote is not None:
        from lingbot_cli.render.remote import RemoteBackend

        return RemoteBackend(prepared.request.remote, prepared, display.warning)
    from lingbot_cli.render.local import LocalBackend, MultiGPUBackend

    return LocalBackend(prepared, load) if group is None else MultiGPUBackend(prepared, group)
