"""Two servers behind the nginx of the recipe: keys find their server, a killed or draining one is left out."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml
from websockets.exceptions import InvalidStatus

from lingbot_cli.errors import UsageError
from lingbot_cli.server.auth import ResumeKeys, check_server_name
from tests.support.processes import wait_until
from tests.support.realtime_client import init
from tests.support.rtmp_server import answers, free_port
from tests.support.serving import TOKEN, Served

RECIPES = Path(__file__).parents[2] / "recipes" / "balancer"
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/bin")
ENVIRON = os.environ | {"LINGBOT_TOKEN": TOKEN, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


@contextmanager
def named_server(name, port):
    image = Path(__file__).parents[2] / "samples" / "courtyard-day.png"
    options = ("--name", name, "--port", str(port), "--image", str(image), "--grace", "60", "--drain", "60")
    command = [sys.executable, "-m", "lingbot_cli", "serve", *options, "--sessions", "2"]
    process = subprocess.Popen(command, env=ENVIRON, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)


@contextmanager
def balancer(folder, ports, replaced=()):
    """Run nginx with the recipe, on free ports and with other parts `replaced`."""
    config = (RECIPES / "nginx.conf").read_text()
    for part, other in replaced:
        assert part in config
        config = config.replace(part, other)
    front = free_port()
    for named, port in zip((30000, 30001, 30002), (front, *ports), strict=True):
        config = config.replace(f"127.0.0.1:{named}", f"127.0.0.1:{port}")
    paths = "".join(
        f"  {kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = config.replace("http {\n", f"http {{\n  access_log off;\n{paths}")
    head = f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\n"
    (folder / "nginx.conf").write_text(head + config)
    process = subprocess.Popen([NGINX, "-c", folder / "nginx.conf", "-p", folder], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers(front))
        yield Served(front)
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def behind_nginx(tmp_path_factory):
    if NGINX is None:
        pytest.skip("nginx is not installed")
    ports = free_port(), free_port()
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(named_server(name, port))
            for name, port in zip("ab", ports, strict=True)
        }
        for port in ports:
            wait_until(lambda port=port: healthy(port), 120)
        front = stack.enter_context(balancer(tmp_path_factory.mktemp("nginx"), ports))
        yield front, servers, dict(zip("ab", ports, strict=True))


def healthy(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as answer:
            return json.load(answer)["status"] == "ok"
    except OSError:
        return False


def connect(front, server=None):
    """Connect a client, to a server by its name."""
    query = "" if server is None else f"&server={server}"
    return Served(front.port, f"{TOKEN}{query}").client()


def start(client):
    """Start a session; return its key and its server's name."""
    client.send(**init(size="48x32", extensions=True))
    key = client.until("session")["resume"]
    client.chunk()
    return key, key.partition(".")[0]


def test_keys_find_their_server_and_a_killed_or_draining_one_is_left_out(behind_nginx):
    front, servers, ports = behind_nginx
    with connect(front) as first, connect(front) as second:
        (key, name), (_, other) = start(first), start(second)
        assert {name, other} == {"a", "b"}
        first.socket.socket.close()
        with connect(front, name) as returning:
            returning.send(**init(resume=key))
            assert returning.until("session")["state"] == "resumed"
            returning.chunk()
            with connect(front, other) as lost:
                lost.send(**init(resume=key))
                assert lost.close_code() == 4421
                assert lost.socket.close_reason == f"that session is on the server {name}"

            servers[name].send_signal(signal.SIGTERM)  # it drains: its session goes on, new ones go elsewhere
            wait_until(lambda: not healthy(ports[name]))
            with pytest.raises(InvalidStatus, match="503"), Served(ports[name]).client():
                pass
            with connect(front) as third:
                assert start(third)[1] == other
            returning.chunk()
            returning.socket.socket.close()
            with connect(front, name) as again:  # also while it drains
                again.send(**init(resume=key))
                assert again.until("session")["state"] == "resumed"
                again.event("stop")
                again.close_code()
        assert servers[name].wait(60) == 128 + signal.SIGTERM

        with connect(front, name) as late:  # the next server knows the key, and that its session is gone
            late.send(**init(resume=key))
            assert late.close_code() == 4421
        servers[other].kill()
        assert second.close_code() in (1006, 1011)


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
def test_nginx_counts_the_connections_of_an_ipv4_address_and_of_an_ipv6_network(tmp_path):
    real_address = "http {\n  set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For;\n"
    replaced = [("limit_conn addresses 64", "limit_conn addresses 2"), ("http {\n", real_address)]
    with ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        silent.settimeout(30)
        front = stack.enter_context(balancer(tmp_path, [silent.getsockname()[1]] * 2, replaced))

        def request(address):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", front.port), 30))
            client.sendall(f"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {address}\r\n\r\n".encode())
            return client

        for address in (
            *("2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1"),
            *("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2", "::ffff:192.0.2.3"),
        ):
            request(address)
            stack.enter_context(silent.accept()[0])  # passed on to a server
        for address in ("2001:db8::3", "192.0.2.1", "::ffff:192.0.2.1"):
            assert request(address).recv(100).startswith(b"HTTP/1.1 503")


def test_keys_are_signed():
    ours, same, foreign = ResumeKeys("a", "token"), ResumeKeys("b", "token"), ResumeKeys("a", "other")
    key = ours.new()
    assert [keys.server_of(key) for keys in (ours, same, foreign)] == ["a", "a", None]
    assert ours.server_of("b" + key[1:]) is None
    assert ours.server_of("made-up") is None
    assert ResumeKeys().server_of(ResumeKeys().new()) is None


@pytest.mark.parametrize("name", ["a b", "a.b", "x" * 64, "é"])
def test_a_name_that_would_not_fit_a_key_is_refused(name):
    with pytest.raises(UsageError, match="not a name"):
        check_server_name(name)


def test_the_recipe_for_kubernetes_runs_the_command():
    service, pods = yaml.safe_load_all((RECIPES / "kubernetes.yaml").read_text())
    spec = pods["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    arguments = container["args"]
    assert spec["terminationGracePeriodSeconds"] > int(arguments[arguments.index("--drain") + 1])
    assert service["metadata"]["name"] == pods["spec"]["serviceName"]
    known = subprocess.run(
        [sys.executable, "-m", "lingbot_cli", "serve", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert all(argument in known for argument in arguments if argument.startswith("--"))
