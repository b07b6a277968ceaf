"""Server metrics in Prometheus text format."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from lingbot_cli.ui.progress import memory_in_use

LATENCY_BUCKETS_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3, 6, 12, 30)


class Metrics:
    """Metrics of one server, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.sessions = Gauge("lingbot_sessions", "Clients that play.", registry=registry)
        self.detached = Gauge(
            "lingbot_worlds_kept", "Sessions waiting for their client to reconnect.", registry=registry
        )
        self.queue = Gauge("lingbot_queue", "Clients waiting for a slot.", registry=registry)
        self.connections = Gauge("lingbot_connections", "Open WebSockets.", registry=registry)
        self.started = Counter("lingbot_sessions_begun", "Sessions started or resumed.", registry=registry)
        self.evicted = Counter(
            "lingbot_worlds_evicted", "Waiting sessions dropped to make room.", registry=registry
        )
        self.chunks = Counter("lingbot_chunks", "Chunks rendered.", registry=registry)
        self.frames = Counter("lingbot_frames", "Video frames rendered.", registry=registry)
        self.sent = Counter("lingbot_sent_bytes", "Bytes of frames sent.", registry=registry)
        self.rejected = Counter("lingbot_refused", "Messages rejected.", ["code"], registry=registry)
        self.fps = Gauge(
            "lingbot_fps", "Frames per second while the last chunk was rendered.", registry=registry
        )
        self.chunk_seconds = Histogram(
            "lingbot_chunk_seconds",
            "Seconds to render a chunk.",
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self.latency = Histogram(
            "lingbot_event_seconds",
            "Seconds from an event to its frames being sent.",
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        memory = Gauge("lingbot_memory_bytes", "Memory in use, including the device's.", registry=registry)
        memory.set_function(memory_in_use)

    def text(self) -> bytes:
        """Return all metrics as Prometheus text."""
        return generate_latest(self._registry)
