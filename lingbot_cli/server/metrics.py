"""Server metrics in Prometheus text format."""

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from lingbot_cli.ui.progress import memory_in_use

LATENCY_BUCKETS_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3, 6, 12, 30)


class Metrics:
    """Metrics of one server, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        gauge, counter = partial(Gauge, registry=self._registry), partial(Counter, registry=self._registry)
        histogram = partial(Histogram, buckets=LATENCY_BUCKETS_S, registry=self._registry)
        self.sessions = gauge("lingbot_sessions", "Clients that play.")
        self.capacity = gauge("lingbot_capacity", "Clients that may play at once.")
        self.detached = gauge("lingbot_worlds_kept", "Sessions waiting for their client to reconnect.")
        self.queue = gauge("lingbot_queue", "Clients waiting for a slot.")
        self.connections = gauge("lingbot_connections", "Open WebSockets.")
        self.started = counter("lingbot_sessions_begun", "Sessions started or resumed.")
        self.evicted = counter("lingbot_worlds_evicted", "Waiting sessions dropped to make room.")
        self.chunks = counter("lingbot_chunks", "Chunks rendered.")
        self.frames = counter("lingbot_frames", "Video frames rendered.")
        self.sent = counter("lingbot_sent_bytes", "Bytes of frames sent.")
        self.rejected = counter("lingbot_refused", "Messages rejected.", ["code"])
        self.fps = gauge("lingbot_fps", "Frames per second while the last chunk was rendered.")
        self.chunk_seconds = histogram("lingbot_chunk_seconds", "Seconds to render a chunk.")
        self.latency = histogram("lingbot_event_seconds", "Seconds from an event to its frames being sent.")
        memory = gauge("lingbot_memory_bytes", "Memory in use, including the device's.")
        memory.set_function(memory_in_use)

    def text(self) -> bytes:
        """Return all metrics as Prometheus text."""
        return generate_latest(self._registry)
