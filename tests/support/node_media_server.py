"""node-media-server, an RTMP server in JavaScript, which npm installs once a machine."""

import hashlib
import json
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.rtmp_server import free_port

PACKAGE = "node-media-server@4.4.3"
SECRET = "server-secret"


def install() -> Path:
    """Return the folder of the package; skip the test where npm cannot install it."""
    folder = Path(tempfile.gettempdir(), f"lingbot-tests-{PACKAGE}")
    package = folder / "node_modules" / "node-media-server"
    if not package.exists():
        if shutil.which("npm") is None:
            pytest.skip("needs npm")
        with tempfile.TemporaryDirectory(dir=folder.parent) as fresh:
            command = ["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", fresh, PACKAGE]
            if subprocess.run(command, capture_output=True, timeout=120).returncode:
                pytest.skip("npm cannot install node-media-server")
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(fresh, folder, symlinks=True)
    return package


def signature(path: str, secret: str = SECRET) -> str:
    """Return the value of `sign` that a publisher of /APP/NAME needs."""
    expires = int(time.time()) + 600
    return f"{expires}-{hashlib.md5(f'{path}-{expires}-{secret}'.encode()).hexdigest()}"


@contextmanager
def node_media_server(folder: Path):
    """Run a server that records and asks publishers for a signature; yields its address."""
    package, port = install(), free_port()
    config = {
        "bind": "127.0.0.1",
        "store": {"path": str(folder / "data"), "maxHistory": 10},
        "auth": {"publish": True, "play": False, "secret": SECRET, "jwt": {"secret": "x", "users": []}},
        "rtmp": {"port": port},
        "record": {"auto": True, "path": str(folder / "record")},
        "webadmin": {"enable": False},
    }
    (folder / "config.json").write_text(json.dumps(config))
    command = ["node", str(package / "bin" / "app.js"), "-c", str(folder / "config.json")]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        end = time.monotonic() + 30
        while True:
            assert server.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"rtmp://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)
