"""Durable writes by a process of its own, which may end and which several threads use."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from lingbot_cli.durable_writes import DurableWriter


@pytest.fixture
def writer():
    made = DurableWriter()
    yield made
    made._child.kill()
    made._child.wait(10)


def test_a_process_that_has_ended_is_started_again(tmp_path, writer):
    writer.write(tmp_path / "a", b"1")
    writer._child.kill()
    writer._child.wait(10)
    writer.write(tmp_path / "a", b"2")
    assert (tmp_path / "a").read_bytes() == b"2"


def test_every_thread_gets_the_answer_to_its_own_write(tmp_path, writer):
    folders = [tmp_path, tmp_path / "absent"] * 2

    def write(number):
        failures = 0
        for _ in range(40):
            try:
                writer.write(folders[number] / f"{number}", b"content")
            except FileNotFoundError:
                failures += 1
        return failures

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(write, range(4))) == [0, 40, 0, 40]
