"""What a server can be watched by, as Prometheus text."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from lingbot_cli.ui.progress import memory_in_use

_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3, 6, 12, 30)


class Metrics:
    """One server's figures, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = at = CollectorRegistry()
        self.sessions = Gauge("lingbot_sessions", "Clients that play", registry=at)
        self.kept = Gauge("lingbot_worlds_kept", "Worlds kept for clients that are away", registry=at)
        self.queue = Gauge("lingbot_queue", "Clients that wait for a place", registry=at)
        self.connections = Gauge("lingbot_connections", "Open WebSockets", registry=at)
        self.begun = Counter("lingbot_sessions_begun", "Sessions ever begun", registry=at)
        self.evicted = Counter("lingbot_worlds_evicted", "Kept worlds given up for newer ones", registry=at)
        self.chunks = Counter("lingbot_chunks", "Chunks made", registry=at)
        self.frames = Counter("lingbot_frames", "Video frames made", registry=at)
        self.sent = Counter("lingbot_sent_bytes", "Bytes of frames sent", registry=at)
        self.refused = Counter("lingbot_refused", "Messages refused", ["code"], registry=at)
        self.fps = Gauge("lingbot_fps", "Frames a second while the last chunk was made", registry=at)
        self.chunk_seconds = Histogram(
            "lingbot_chunk_seconds", "Seconds to make a chunk", buckets=_SECONDS, registry=at
        )
        self.latency = Histogram(
            "lingbot_event_seconds",
            "Seconds from an event to its picture's way out",
            buckets=_SECONDS,
            registry=at,
        )
        memory = Gauge("lingbot_memory_bytes", "Memory in use, the device's included", registry=at)
        memory.set_function(memory_in_use)

    def text(self) -> bytes:
        """All figures as Prometheus reads them."""
        return generate_latest(self._registry)
