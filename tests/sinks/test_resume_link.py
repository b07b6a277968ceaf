"""Hard links to partial videos: found, limited, replaced and removed; busy files are waited for."""

import os

import pytest

from lingbot_cli.errors import OutputError, UsageError
from lingbot_cli.sinks.resume_link import ResumeLink, lock_file


@pytest.fixture
def link(tmp_path):
    return ResumeLink(tmp_path / "written", "key")


@pytest.fixture
def partial(tmp_path):
    file = tmp_path / "partial.mp4"
    file.write_bytes(b"frames")
    return file


def names(link):
    return sorted(file.name for file in link.folder.iterdir())


def test_a_linked_file_is_found_under_any_name_of_its_own(link, partial):
    assert link.find() is None
    link.link(partial)
    link.link(partial)
    assert names(link) == ["key"]
    assert link.find() == (link.folder / "key", None)
    partial.rename(partial.with_name("other.mp4"))
    assert link.find()[0].read_bytes() == b"frames"
    assert ResumeLink(link.folder, "other").find() is None


def test_a_limited_file_has_so_many_frames(link, partial):
    link.link(partial)
    assert link.limit_frames(12) == link.folder / "key@12"
    assert names(link) == ["key@12"]
    assert link.find() == (link.folder / "key@12", 12)
    assert link.limit_frames(9) == link.folder / "key@9"
    assert link.limit_frames(9).read_bytes() == b"frames"
    assert names(link) == ["key@9"]
    # A crash may leave another mark: the next limit removes it.
    os.link(link.folder / "key@9", link.folder / "key@5")
    link.limit_frames(3)
    assert names(link) == ["key@3"]


def test_a_new_version_replaces_limited_ones(link, partial):
    link.link(partial)
    link.limit_frames(12)
    link.next_file.write_bytes(b"more frames")
    link.link(link.next_file)
    assert link.find() == (link.folder / "key", None)
    assert names(link) == [".key.next", "key"]
    link.remove()
    assert names(link) == []
    link.remove()


def test_limited_files_are_removed_too(link, partial):
    link.link(partial)
    link.limit_frames(12)
    link.remove()
    assert names(link) == []


def test_a_link_that_is_gone_cannot_be_limited(link):
    with pytest.raises(OutputError, match="does not exist any more"):
        link.limit_frames(3)


def test_a_link_that_cannot_be_removed_is_named(link):
    (link.folder / "key").mkdir(parents=True)
    with pytest.raises(OutputError, match="key cannot be removed: "):
        link.remove()


def test_a_file_system_without_hard_links_has_none(link, partial, monkeypatch):
    def refuse(*_):
        raise OSError("no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    link.link(partial)
    assert link.find() is None


def test_a_file_that_an_encoder_still_writes_is_waited_for(link, partial, monkeypatch):
    link.link(partial)
    waits = []

    class Clock:
        now = 100.0

        @classmethod
        def monotonic(cls):
            return cls.now

        @classmethod
        def sleep(cls, seconds):
            waits.append(seconds)
            cls.now += seconds
            if len(waits) == released_after:
                encoder.close()

    monkeypatch.setattr("lingbot_cli.sinks.resume_link.time", Clock)
    released_after = 3
    encoder = lock_file(partial)
    assert link.find() == (link.folder / "key", None)
    assert len(waits) == 3
    released_after = 0
    with lock_file(partial), pytest.raises(UsageError, match="still being written by the encoder"):
        link.find()
    assert Clock.now == pytest.approx(100 + 3 * 0.05 + 10, abs=0.1)
