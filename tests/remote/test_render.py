"""Rendering on a server: equal frames, lost connections, refusals, no leaked token."""

import numpy as np
import pytest
from PIL import Image

from lingbot_cli.camera.keys import key_motion
from lingbot_cli.control import Control
from lingbot_cli.errors import UsageError
from lingbot_cli.remote.client import EngineAddress
from lingbot_cli.remote.messages import action_script
from lingbot_cli.server.session_pool import PoolLimits
from tests.support.camera_reference import integrate_steps
from tests.support.command import lingbot
from tests.support.reference import sample_image
from tests.support.relay import Flaky
from tests.support.serving import TOKEN, serving

TIMELINE = """\
timeline: 1
prompt: a court
seed: 7
events:
  - {keys: w, for: 14f}
  - {turn: {yaw: 30, pitch: -4}, for: 10f, ease: in-out}
  - {prompt: it rains, recache: true}
  - {move: {up: 0.5, right: 1}, for: 10f}
  - {cut: b.png}
  - {keys: wl, for: 15f}
"""


@pytest.fixture(scope="module")
def world():
    from lingbot_cli.model.loading.loader import load_model

    return load_model(None)


@pytest.fixture
def film(tmp_path):
    Image.fromarray(sample_image(70, 90)).save(tmp_path / "a.png")
    Image.fromarray(sample_image(40, 40, seed=3)).save(tmp_path / "b.png")
    (tmp_path / "walk.yaml").write_text(TIMELINE)
    return ("render", str(tmp_path / "a.png"), "-t", str(tmp_path / "walk.yaml"), "--size", "48x32")


def frames(folder):
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))])


def test_a_server_renders_the_frames_of_a_local_render(tmp_path, film, world, monkeypatch):
    monkeypatch.setenv("LINGBOT_TOKEN", TOKEN)
    here = lingbot(*film, "--quality", "master", "-o", f"{tmp_path}/here/%03d.png")
    assert here.code == 0, here.stderr
    with serving(world=world) as served:
        engine = f"ws://127.0.0.1:{served.port}"
        there = lingbot(*film, "--quality", "master", "-o", f"{tmp_path}/there/%03d.png", "--engine", engine)
    assert there.code == 0, there.stderr
    assert TOKEN not in there.stdout + there.stderr
    assert (frames(tmp_path / "here") == frames(tmp_path / "there")).all()
    assert len(frames(tmp_path / "there")) == 49


def test_a_lost_connection_is_resumed_with_the_same_frames(tmp_path, film, world, monkeypatch):
    monkeypatch.setenv("LINGBOT_TOKEN", TOKEN)
    with serving(PoolLimits(alive=1, grace_s=20), world=world) as served:
        whole = lingbot(*film, "-o", f"{tmp_path}/a/%03d.png", "--engine", f"ws://127.0.0.1:{served.port}")
        assert whole.code == 0, whole.stderr
        with Flaky(served.port, cut_after=30_000) as proxy:
            again = lingbot(*film, "-o", f"{tmp_path}/b/%03d.png", "--engine", f"ws://127.0.0.1:{proxy.port}")
        assert again.code == 0, again.stderr
        assert "reconnecting to its session" in again.stderr
    assert (frames(tmp_path / "a") == frames(tmp_path / "b")).all()


def test_a_server_that_takes_keys_only_renders_the_video(tmp_path, film, world, monkeypatch):
    monkeypatch.setenv("LINGBOT_TOKEN", TOKEN)
    monkeypatch.setattr("lingbot_cli.remote.client._EXACT_POSES", "nothing")
    with serving(world=world) as served:
        engine = f"ws://127.0.0.1:{served.port}"
        done = lingbot(*film, "-o", f"{tmp_path}/film/%03d.png", "--engine", engine)
    assert done.code == 0, done.stderr
    assert len(frames(tmp_path / "film")) == 49


def test_a_lost_engine_leaves_a_playable_partial_file_and_exit_5(tmp_path, film, world, monkeypatch):
    monkeypatch.setenv("LINGBOT_TOKEN", TOKEN)
    monkeypatch.setattr("lingbot_cli.remote.pose_session.RECONNECT_ATTEMPTS", 1)
    monkeypatch.setattr("lingbot_cli.remote.pose_session.RECONNECT_DELAY_S", 0.01)
    with serving(PoolLimits(grace_s=0), world=world) as served, Flaky(served.port, cut_after=60_000) as proxy:
        done = lingbot(*film, "-o", f"{tmp_path}/film.mkv", "--engine", f"ws://127.0.0.1:{proxy.port}")
    assert done.code == 5, done.stderr
    assert not (tmp_path / "film.mkv").exists()
    assert (tmp_path / "film.partial.mkv").stat().st_size > 500
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--engine", "http://127.0.0.1"), 2, "ws://"),
        (("--engine", "ws://127.0.0.1:1"), 5, "does not answer"),
        (("--engine", "ws://127.0.0.1:1", "--gpus", "2"), 2, "cannot be used with --gpus"),
        (("--engine", "ws://127.0.0.1:1", "--resume"), 2, "no latents"),
    ],
)
def test_options_that_do_not_fit_are_errors(film, tmp_path, options, code, message):
    done = lingbot(*film, "-o", f"{tmp_path}/film.mp4", *options)
    assert done.code == code
    assert message in done.stderr


def test_a_wrong_token_is_a_usage_error(film, tmp_path, served, monkeypatch):
    monkeypatch.setenv("LINGBOT_TOKEN", "wrong")
    done = lingbot(*film, "-o", f"{tmp_path}/f.mp4", "--engine", f"ws://127.0.0.1:{served.port}")
    assert done.code == 2
    assert "LINGBOT_TOKEN" in done.stderr


def test_the_token_is_removed_from_the_address():
    engine = EngineAddress.parse("ws://127.0.0.1:9/v1/realtime_video/generate?token=sekrit", {})
    assert engine.token == "sekrit"
    assert "sekrit" not in f"{engine} {engine.websocket_url()}"
    assert engine.websocket_url() == "ws://127.0.0.1:9/v1/realtime_video/generate"
    with pytest.raises(UsageError):
        EngineAddress.parse("rtmp://host", {})


def test_the_action_script_follows_the_path():
    steps = [key_motion("wl")] * 24 + [key_motion("sk")] * 24
    poses = integrate_steps(np.array(steps))[::4][:12]
    lens = np.tile([500.0, 500.0, 416.0, 240.0], (3, 1))
    controls = [
        Control(part, lens, np.zeros((3, 4), np.float32), "", 12) for part in poses.reshape(4, 3, 4, 4)
    ]
    script = action_script(controls)
    assert len(script) == 12
    forth, back = script[1:6], script[7:]
    assert sum("w" in each for each in forth) == 5
    assert not any("s" in each for each in forth)
    assert sum("s" in each for each in back) >= 4
    assert sum("l" in each for each in forth) >= 5
    assert any("k" in each for each in back)
