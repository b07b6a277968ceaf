"""A real RTMP server on loopback: nginx with its rtmp module."""

import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")

CONFIG = """
load_module {module};
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log info;
events {{ worker_connections 64; }}
rtmp {{
  access_log off;
  # Messages that servers send now and then, sent often here.
  ping 1s; ping_timeout 5s; ack_window 20000;
  server {{
    listen 127.0.0.1:{port};
    application live {{
      live on; notify_method get; on_publish http://127.0.0.1:{http}/publish;
      record all; record_path {folder}/seen; record_unique on; record_suffix .flv;
    }}
  }}
}}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{http};
    location /publish {{ if ($arg_name != "{key}") {{ return 403; }} return 204; }}
  }}
}}
"""


def free_port() -> int:
    """Return an unused port of the loopback interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(true, seconds=60.0):
    """Wait until `true()`; return the seconds it took."""
    started = time.monotonic()
    while not true():
        assert time.monotonic() - started < seconds
        time.sleep(0.01)
    return time.monotonic() - started


def answers(port: int) -> bool:
    """Return whether a port accepts connections."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class RtmpServer:
    """Accept streams under one key and record them as FLV files in `seen`."""

    def __init__(self, folder: Path, key: str = "first-key") -> None:
        if not MODULE.exists() or shutil.which("nginx", path="/usr/sbin:/usr/bin:/bin") is None:
            pytest.skip("nginx with libnginx-mod-rtmp is not installed")
        self.folder, self.key, self.port = folder, key, free_port()
        self.seen = folder / "seen"
        self.seen.mkdir(parents=True)
        self.seen.chmod(0o777)
        folder.chmod(0o755)
        config = CONFIG.format(module=MODULE, folder=folder, port=self.port, http=free_port(), key=key)
        (folder / "nginx.conf").write_text(config)
        self.start()

    @property
    def url(self) -> str:
        return f"rtmp://127.0.0.1:{self.port}/live/{self.key}"

    def start(self) -> None:
        nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin:/bin")
        self._process = subprocess.Popen(
            [nginx, "-p", self.folder, "-c", self.folder / "nginx.conf"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(lambda: answers(self.port))

    def stop(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def recordings(self) -> list[Path]:
        """Stop the server, so that its files are complete, and return one file a connection."""
        self._process.terminate()
        self._process.wait(10)
        return sorted(self.seen.glob("*.flv"), key=lambda path: path.stat().st_mtime_ns)
