"""TLS certificates that are expired, self-signed or of another host: refused on rtmps, wss and https."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.promises.process import IMAGE, SMALL, TIMEOUT_S, Outcome, start
from lingbot_cli.checkpoints.registry import PUBLISHED
from tests.support.hub_server import hub_serving
from tests.support.reference import REFERENCE
from tests.support.rtmp_server import RtmpServer
from tests.support.serving import serving

CERTIFICATES = {
    "good": ("localhost", "20200101000000Z", "20991231000000Z"),
    "expired": ("localhost", "20200101000000Z", "20200102000000Z"),
    "of another host": ("elsewhere.example", "20200101000000Z", "20991231000000Z"),
    "self-signed": ("localhost", "20200101000000Z", "20991231000000Z"),
}
PROTOCOLS = ("rtmps", "wss", "https")
MODEL = "lingbot-world-fast"
CONFIG = """
[ca]
default_ca = here
[here]
database = {folder}/index
serial = {folder}/serial
new_certs_dir = {folder}
default_md = sha256
policy = names
copy_extensions = copy
unique_subject = no
[names]
commonName = supplied
"""


def make_certificates(folder: Path) -> dict[str, Path]:
    """Return a file with certificate and key for each kind; `folder`/ca.pem signs all but the self-signed one."""
    folder.mkdir()
    (folder / "index").touch()
    (folder / "serial").write_text("01")
    (folder / "config").write_text(CONFIG.format(folder=folder))
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")

    def openssl(*arguments: str) -> None:
        subprocess.run(
            ["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=TIMEOUT_S
        )

    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "3650", "-subj", "/CN=ca")
    files = {}
    for kind, (host, begin, end) in CERTIFICATES.items():
        name, subject = (
            kind.replace(" ", "-"),
            ("-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}"),
        )
        if kind == "self-signed":
            openssl(
                "req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.crt", "-days", "9", *subject
            )
        else:
            openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", *subject)
            signer = ("-config", "config", "-cert", "ca.pem", "-keyfile", "ca.key", "-batch", "-notext")
            dates = ("-startdate", begin, "-enddate", end)
            openssl("ca", *signer, *dates, "-in", f"{name}.csr", "-out", f"{name}.crt")
        files[kind] = folder / f"{name}.pem"
        files[kind].write_text((folder / f"{name}.crt").read_text() + (folder / f"{name}.key").read_text())
    return files


@contextmanager
def tls_relay(certificate: Path, target: int) -> Iterator[int]:
    """Accept TLS connections and pass them on to a plain port; return the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listener = socket.create_server(("127.0.0.1", 0))

    def copy(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def serve(plain: socket.socket) -> None:
        with (
            suppress(OSError),
            context.wrap_socket(plain, server_side=True) as client,
            socket.create_connection(("127.0.0.1", target)) as server,
        ):
            back = threading.Thread(target=copy, args=(server, client), daemon=True)
            back.start()
            copy(client, server)
            back.join()

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


@contextmanager
def plain_server(protocol: str, folder: Path) -> Iterator[int]:
    """Run a server that the relay puts TLS in front of; return its port."""
    if protocol == "rtmps":
        server = RtmpServer(folder / "rtmp")
        try:
            yield server.port
        finally:
            server.stop()
    elif protocol == "wss":
        with serving() as served:
            yield served.port
    else:
        source = REFERENCE / "checkpoints" / "diffusers-v1-fast"
        files = {
            str(file.relative_to(source)): file.read_bytes() for file in source.rglob("*") if file.is_file()
        }
        with hub_serving({PUBLISHED[MODEL].sources[0].repository: files}) as hub:
            yield int(hub.url.rsplit(":", 1)[1])


def command(protocol: str, port: int) -> tuple[list[object], dict[str, str]]:
    """Return the command that connects, and its environment."""
    move = (IMAGE, "--moves", "w-5", "--prompt", "a courtyard", *SMALL)
    if protocol == "rtmps":
        return ["stream", *move, "--device", "cpu"], {
            "LINGBOT_STREAM_URL": f"rtmps://localhost:{port}/live/first-key"
        }
    if protocol == "wss":
        engine = ("--engine", f"wss://localhost:{port}", "--model", "built-in")
        return ["render", *move, *engine, "-o", "null:"], {"LINGBOT_TOKEN": "a-token-of-tests"}
    endpoint = {"HF_ENDPOINT": f"https://localhost:{port}", "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
    return ["models", "pull", MODEL, "--accept-license"], endpoint


def connect(protocol: str, certificate: Path, port: int, folder: Path) -> tuple[int, str]:
    """Connect through TLS with a certificate; return the exit code and the messages."""
    with tls_relay(certificate, port) as relay:
        arguments, environ = command(protocol, relay)
        trusted = str(certificate.with_name("ca.pem"))
        homes = {"HF_HOME": str(folder / "hf"), "LINGBOT_CACHE_DIR": str(folder / "cache")}
        trust = {"SSL_CERT_FILE": trusted, "REQUESTS_CA_BUNDLE": trusted}
        process = start(arguments, environ | trust | homes, stderr=subprocess.PIPE)
        _, messages = process.communicate(timeout=TIMEOUT_S)
    return process.returncode, messages


def certificates(
    folder: Path, protocols: Sequence[str] = PROTOCOLS, kinds: Sequence[str] = tuple(CERTIFICATES)
) -> Outcome:
    """Connect with certificates of these kinds over these protocols."""
    folder.mkdir(exist_ok=True)
    files, failures, refused, count = make_certificates(folder / "certificates"), [], 0, 0
    for protocol in protocols:
        with plain_server(protocol, folder) as port:
            for number, kind in enumerate(kinds):
                file = files[kind]
                code, messages = connect(protocol, file, port, folder / f"{protocol}-{number}")
                if kind == "good" and code:
                    failures.append(f"{protocol}, good: exit code {code}, {messages.strip()}")
                if kind != "good":
                    count += 1
                    named = "certificate" in messages and "Traceback" not in messages
                    refused += code in (3, 5) and named
                    if code not in (3, 5) or not named:
                        failures.append(f"{protocol}, {kind}: exit code {code}, {messages.strip()}")
    return Outcome("bad TLS certificates", count, f"{refused} refused, good ones accepted", tuple(failures))
