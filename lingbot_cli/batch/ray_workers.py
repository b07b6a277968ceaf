"""Workers on a Ray cluster: an actor with a GPU each, which keeps its model loaded between tasks."""

import contextlib
import os
import queue
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lingbot_cli.batch.manifest import Manifest
from lingbot_cli.batch.scheduler import Worker, WorkerEvent
from lingbot_cli.batch.task_runner import TaskResult, TaskRunner
from lingbot_cli.batch.tasks import Task
from lingbot_cli.errors import LingbotError, SetupError, StreamLostError
from lingbot_cli.files import write_file
from lingbot_cli.ui.progress import Progress

_PROGRESS_TIMEOUT_S = 1.0
"""Longest wait of an actor's `progress` call before it returns None."""
_UPLOAD_EXCLUDES = ["*.mp4", "*.mkv", "*.webm", "*.resume", ".lingbot", ".git"]
_ACTOR_DIED = "its node or its process is gone"

Artifacts = Mapping[str, bytes]
"""Files of a finished video, contents by path below the output folder; the manifest entry is last."""


def pack_artifacts(folder: Path, name: str) -> Artifacts:
    """Read all files of a finished video."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in Manifest(folder).files(name)}


def unpack_artifacts(folder: Path, artifacts: Artifacts, *, overwrite: bool) -> None:
    """Write the files of a finished video, each atomically. Errors: UsageError, OutputError."""
    for name, content in artifacts.items():
        may_replace = overwrite or name.startswith(".lingbot")
        write_file(folder / name, content, overwrite=may_replace, make_folder=True)


class RenderActor:
    """Ray actor that renders tasks: `run` in one thread, `progress` in another.

    `folder`: output folder on a shared file system; None for a temporary folder of the node, whose videos
    are returned as artifacts.
    """

    def __init__(self, folder: Path | None) -> None:
        self._returns_artifacts = folder is None
        self._folder = folder or Path(tempfile.mkdtemp(prefix="lingbot-"))
        self._runner = TaskRunner(self._folder)
        self._progress: queue.Queue[Progress] = queue.Queue()

    def ready(self) -> int:
        """Return its process id, once it runs."""
        return os.getpid()

    def run(self, task: Task) -> tuple[TaskResult, Artifacts]:
        """Run a task."""
        result = self._runner.run(task, self._progress.put)
        if not self._returns_artifacts or result.status != "rendered":
            return result, {}
        artifacts = pack_artifacts(self._folder, task.name)
        for name in artifacts:
            (self._folder / name).unlink()
        return result, artifacts

    def progress(self) -> Progress | None:
        """Return the newest progress since the last call, or None after a timeout."""
        with contextlib.suppress(queue.Empty):
            latest = self._progress.get(timeout=_PROGRESS_TIMEOUT_S)
            while not self._progress.empty():
                latest = self._progress.get()
            return latest
        return None


class RayWorker:
    """A worker backed by an actor, which is created again after it was lost."""

    def __init__(self, name: str, ray: Any, make_actor: Any, folder: Path, jobs: Path | None) -> None:
        self.name = name
        self._folder = folder
        self._jobs = jobs
        self._task: Task | None = None
        self._ray = ray
        self._make_actor = make_actor
        self._actor: Any = None
        self._ready_ref: Any = None
        self._result_ref: Any = None
        self._progress_ref: Any = None
        self._stop_result: TaskResult | None = None

    def ready(self) -> bool:
        if self._actor is None:
            self._actor = self._make_actor()
            self._ready_ref = self._actor.ready.remote()
        if not self._done(self._ready_ref):
            return False
        try:
            self._ray.get(self._ready_ref)
        except self._ray.exceptions.RayError:
            self.end()
            return False
        return True

    def start(self, task: Task) -> None:
        self._task = task
        self._result_ref = self._actor.run.remote(_portable_task(task, self._jobs))
        self._progress_ref = self._actor.progress.remote()

    def poll_events(self) -> list[WorkerEvent]:
        if self._stop_result is not None:
            result, self._stop_result = self._stop_result, None
            return [result]
        try:
            if self._done(self._result_ref):
                result, artifacts = self._ray.get(self._result_ref)
                self._result_ref = self._progress_ref = None
                return [self._receive(result, artifacts)]
            if self._done(self._progress_ref):
                progress: Progress | None = self._ray.get(self._progress_ref)
                self._progress_ref = self._actor.progress.remote()
                return [] if progress is None else [progress]
        except self._ray.exceptions.RayError:
            self.end()
            return [TaskResult("crashed", _ACTOR_DIED, exit_code=1)]
        return []

    def _receive(self, result: TaskResult, artifacts: Artifacts) -> TaskResult:
        assert self._task is not None
        try:
            unpack_artifacts(self._folder, artifacts, overwrite=self._task.options.overwrite)
        except LingbotError as error:
            return TaskResult("failed", str(error), error.hint, error.exit_code, seconds=result.seconds)
        return result

    def stop(self) -> None:
        # An actor receives no signal while it works; its finished chunks are on disk.
        self.end()
        self._stop_result = TaskResult("stopped", "interrupted", exit_code=1)

    def end(self) -> None:
        if self._actor is not None:
            self._ray.kill(self._actor)
        self._actor = self._ready_ref = self._result_ref = self._progress_ref = None

    def pending_refs(self) -> list[Any]:
        """Return the references that are not ready: one that is would end every wait at once."""
        starting = self._ready_ref is not None and not self._done(self._ready_ref)
        refs = (self._ready_ref if starting else None, self._result_ref, self._progress_ref)
        return [ref for ref in refs if ref is not None]

    def _done(self, ref: Any) -> bool:
        return bool(self._ray.wait([ref], timeout=0)[0])


class RayWorkerPool:
    """Workers on the cluster at `address`, on the cluster of this machine, or on one that is started here.

    `jobs`: folder to upload to nodes that share no file system with this machine. Finished videos are then
    returned; one that is lost with its node starts over.
    """

    def __init__(
        self, folder: Path, videos: int, address: str | None, count: int | None, jobs: Path | None = None
    ) -> None:
        # Ray prints to standard output, which is for the batch's events.
        self._stdout_guard = contextlib.redirect_stdout(sys.stderr)
        self._stdout_guard.__enter__()
        self._ray = _connect(address, jobs)
        resources = self._ray.cluster_resources()
        gpus = int(resources.get("GPU", 0))
        needs = {"num_gpus": 1} if gpus else {"num_cpus": 1}
        # Two threads: `run` and `progress`. A lost actor is created again by its worker, not by Ray.
        actor = self._ray.remote(RenderActor).options(max_concurrency=2, max_restarts=0, **needs)
        count = min(videos, count or gpus or int(resources.get("CPU", 1)))
        actor_folder = None if jobs else folder.absolute()
        self._workers = [
            RayWorker(f"ray worker {i + 1}", self._ray, lambda: actor.remote(actor_folder), folder, jobs)
            for i in range(count)
        ]
        self.workers: list[Worker] = list(self._workers)

    def wait(self, seconds: float) -> None:
        refs = [ref for worker in self._workers for ref in worker.pending_refs()]
        if refs:
            self._ray.wait(refs, timeout=seconds)
        else:
            time.sleep(seconds)

    def close(self) -> None:
        for worker in self.workers:
            worker.end()
        self._ray.shutdown()
        self._stdout_guard.__exit__(None, None, None)


def _connect(address: str | None, jobs: Path | None) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ModuleNotFoundError as lack:
        raise SetupError("--on ray needs Ray", hint="pip install 'lingbot[ray]'") from lack
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if jobs is not None:
        settings["runtime_env"] = {"working_dir": str(jobs.absolute()), "excludes": _UPLOAD_EXCLUDES}
    try:
        if address is not None:
            ray.init(address=address, **settings)
        else:
            try:
                ray.init(address="auto", **settings)
            except ConnectionError:
                ray.init(include_dashboard=False, **settings)
    except (ConnectionError, TimeoutError, OSError, ValueError) as failure:
        reason = str(failure).splitlines()[0]
        raise StreamLostError(f"no Ray cluster at {address or 'this machine'}: {reason}") from failure
    return ray


def _portable_task(task: Task, jobs: Path | None) -> Task:
    """Return the task with paths that hold on the nodes: absolute on a shared file system, else below `jobs`."""

    def path(name: str | Path) -> str:
        return str(Path(name).absolute()) if jobs is None else os.path.relpath(name, jobs)

    request = task.request
    model, assets = request.options.model, request.options.assets
    options = replace(
        request.options,
        assets=None if assets is None else assets.absolute(),
        model=str(Path(model).absolute()) if model is not None and Path(model).is_dir() else model,
    )
    portable = replace(
        request,
        image=Path(path(request.image)),
        timeline=None if request.timeline is None else path(request.timeline),
        poses=None if request.poses is None else path(request.poses),
        options=options,
    )
    return replace(task, request=portable)
