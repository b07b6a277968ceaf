"""The promises of docs/promises.md, each tried once; `python -m benchmarks.promises` tries them often."""

import shutil
from functools import partial

import pytest

from benchmarks.promises import kills
from benchmarks.promises.certificates import certificates
from benchmarks.promises.clock import make_shim, stream
from benchmarks.promises.disk import full_disk


@pytest.mark.parametrize("killed", [kills.render, kills.record, partial(kills.batch, videos=2), kills.pull])
def test_a_kill_loses_nothing_finished_and_leaves_no_process(tmp_path, killed):
    assert killed(tmp_path, 1).failures == ()


def test_a_full_disk_ends_the_render(tmp_path):
    outcome = full_disk(tmp_path, 1)
    if not outcome.tries:
        pytest.skip(outcome.figure)
    assert [failure for failure in outcome.failures if "it took" not in failure] == []


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_bad_certificates_are_refused(tmp_path):
    assert certificates(tmp_path / "all", ["https"]).failures == ()
    assert certificates(tmp_path / "one", ["rtmps", "wss"], ["of another host"]).failures == ()


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs a C compiler")
def test_a_jump_of_the_clock_ends_nothing(tmp_path):
    environ = {"LD_PRELOAD": str(make_shim(tmp_path)), "JUMP_S": "-3600", "JUMP_AFTER_S": "4"}
    fps, _ = stream(environ)
    assert fps > 1
