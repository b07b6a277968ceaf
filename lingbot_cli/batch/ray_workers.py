"""Hands on a Ray cluster: an actor with a GPU each, which keeps its world from film to film."""

import contextlib
import os
import queue
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from lingbot_cli.batch.parcel import Artifacts, pack_artifacts, unpack_artifacts
from lingbot_cli.batch.tasks import Task
from lingbot_cli.batch.worker import TaskResult, TaskRunner
from lingbot_cli.batch.workers import Worker, WorkerEvent
from lingbot_cli.errors import LingbotError, SetupError, StreamLostError
from lingbot_cli.ui.progress import Progress

_PROGRESS_TIMEOUT_S = 1.0  # seconds an actor waits for progress to tell before it says that there is none
_UPLOAD_EXCLUDES = ["*.mp4", "*.mkv", "*.webm", "*.resume", ".lingbot", ".git"]
_ACTOR_DIED = "its node or its process is gone"


class RenderActor:
    """What runs on the cluster: `make` in one thread, `progress` in another.

    `folder` is where the films go, on a file system of all; None is a folder of the node, and films are sent.
    """

    def __init__(self, folder: Path | None) -> None:
        self._sends = folder is None
        self._folder = folder or Path(tempfile.mkdtemp(prefix="lingbot-"))
        self._worker = TaskRunner(self._folder)
        self._heard: queue.Queue[Progress] = queue.Queue()

    def ready(self) -> int:
        """The number of its process, once it runs."""
        return os.getpid()

    def run(self, task: Task) -> tuple[TaskResult, Artifacts]:
        """Make a film."""
        outcome = self._worker.run(task, self._heard.put)
        if not self._sends or outcome.status != "made":
            return outcome, {}
        parcel = pack_artifacts(self._folder, task.name)
        for name in parcel:
            (self._folder / name).unlink()
        return outcome, parcel

    def progress(self) -> Progress | None:
        """How far the film has come since it was last asked, or None after a while without news."""
        with contextlib.suppress(queue.Empty):
            latest = self._heard.get(timeout=_PROGRESS_TIMEOUT_S)
            while not self._heard.empty():
                latest = self._heard.get()
            return latest
        return None


class RayWorker:
    """An actor that Ray places where there is room, and elsewhere when it is lost."""

    def __init__(self, name: str, ray: Any, make_actor: Any, folder: Path, jobs: Path | None) -> None:
        self.name = name
        self._folder = folder
        self._jobs = jobs
        self._task: Task | None = None
        self._ray = ray
        self._make_actor = make_actor
        self._actor: Any = None
        self._ready: Any = None
        self._made: Any = None
        self._told: Any = None
        self._ended: TaskResult | None = None

    def ready(self) -> bool:
        if self._actor is None:
            self._actor = self._make_actor()
            self._ready = self._actor.ready.remote()
        if not self._done(self._ready):
            return False
        try:
            self._ray.get(self._ready)
        except self._ray.exceptions.RayError:
            self.end()
            return False
        return True

    def start(self, task: Task) -> None:
        self._task = task
        self._made = self._actor.run.remote(_portable_task(task, self._jobs))
        self._told = self._actor.progress.remote()

    def poll_events(self) -> list[WorkerEvent]:
        if self._ended is not None:
            ended, self._ended = self._ended, None
            return [ended]
        try:
            if self._done(self._made):
                outcome, parcel = self._ray.get(self._made)
                self._made = self._told = None
                return [self._received(outcome, parcel)]
            if self._done(self._told):
                progress: Progress | None = self._ray.get(self._told)
                self._told = self._actor.progress.remote()
                return [] if progress is None else [progress]
        except self._ray.exceptions.RayError:
            self.end()
            return [TaskResult("lost", _ACTOR_DIED, exit_code=1)]
        return []

    def _received(self, outcome: TaskResult, parcel: Artifacts) -> TaskResult:
        assert self._task is not None
        try:
            unpack_artifacts(self._folder, parcel, overwrite=self._task.options.overwrite)
        except LingbotError as error:
            return TaskResult("failed", str(error), error.hint, error.exit_code, seconds=outcome.seconds)
        return outcome

    def stop(self) -> None:
        # An actor hears no signal while it works; what it has committed is on the disk.
        self.end()
        self._ended = TaskResult("stopped", "interrupted", exit_code=1)

    def end(self) -> None:
        if self._actor is not None:
            self._ray.kill(self._actor)
        self._actor = self._ready = self._made = self._told = None

    def pending_refs(self) -> list[Any]:
        """What is still to come: what has come would end every wait at once."""
        ready = None if self._ready is None or self._done(self._ready) else self._ready
        return [each for each in (ready, self._made, self._told) if each is not None]

    def _done(self, what: Any) -> bool:
        return bool(self._ray.wait([what], timeout=0)[0])


class RayWorkerPool:
    """Hands on the cluster at `address`, on the one this machine belongs to, or on one that is started for them.

    `jobs` is the folder to send to the nodes when they share no file system with this machine; films then
    come back when they are made, and one that is lost with its node begins anew.
    """

    def __init__(
        self, folder: Path, films: int, address: str | None, count: int | None, jobs: Path | None = None
    ) -> None:
        # Ray prints its own news to standard output, which is for the films'.
        self._apart = contextlib.redirect_stdout(sys.stderr)
        self._apart.__enter__()
        self._ray = _connect(address, jobs)
        there = self._ray.cluster_resources()
        gpus = int(there.get("GPU", 0))
        needs = {"num_gpus": 1} if gpus else {"num_cpus": 1}
        # Two threads: one works, one tells. A lost actor is begun again by its hand, not behind its back.
        actor = self._ray.remote(RenderActor).options(max_concurrency=2, max_restarts=0, **needs)
        count = min(films, count or gpus or int(there.get("CPU", 1)))
        place = None if jobs else folder.absolute()
        self._workers = [
            RayWorker(f"ray worker {i + 1}", self._ray, lambda: actor.remote(place), folder, jobs)
            for i in range(count)
        ]
        self.workers: list[Worker] = list(self._workers)

    def wait(self, seconds: float) -> None:
        waiting = [each for hand in self._workers for each in hand.pending_refs()]
        if waiting:
            self._ray.wait(waiting, timeout=seconds)
        else:
            time.sleep(seconds)

    def close(self) -> None:
        for hand in self.workers:
            hand.end()
        self._ray.shutdown()
        self._apart.__exit__(None, None, None)


def _connect(address: str | None, jobs: Path | None) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ModuleNotFoundError as lack:
        raise SetupError("--on ray needs Ray", hint="pip install 'lingbot[ray]'") from lack
    quietly: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if jobs is not None:
        quietly["runtime_env"] = {"working_dir": str(jobs.absolute()), "excludes": _UPLOAD_EXCLUDES}
    try:
        if address is not None:
            ray.init(address=address, **quietly)
        else:
            try:
                ray.init(address="auto", **quietly)
            except ConnectionError:
                ray.init(include_dashboard=False, **quietly)
    except (ConnectionError, TimeoutError, OSError, ValueError) as failure:
        reason = str(failure).splitlines()[0]
        raise StreamLostError(f"no Ray cluster at {address or 'this machine'}: {reason}") from failure
    return ray


def _portable_task(task: Task, jobs: Path | None) -> Task:
    """The task with paths that mean the same there: absolute on a shared file system, else from the sent folder."""

    def path(said: str | Path) -> str:
        return str(Path(said).absolute()) if jobs is None else os.path.relpath(said, jobs)

    request = task.request
    model, assets = request.options.model, request.options.assets
    options = replace(
        request.options,
        assets=None if assets is None else assets.absolute(),
        model=str(Path(model).absolute()) if model is not None and Path(model).is_dir() else model,
    )
    made = replace(
        request,
        image=Path(path(request.image)),
        timeline=None if request.timeline is None else path(request.timeline),
        poses=None if request.poses is None else path(request.poses),
        options=options,
    )
    return replace(task, request=made)
