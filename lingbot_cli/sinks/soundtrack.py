"""Sound of a video from a file, looped or cut to the video's length, with a fade at its end."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from lingbot_cli.errors import UsageError

_FADE_S, _FADE_SHARE = 2.0, 0.25
_PROBE_TIMEOUT_S = 30


@dataclass(frozen=True)
class Soundtrack:
    """Audio file; silence follows its end unless it loops."""

    file: Path
    loop: bool = False

    def check(self, ffmpeg: str) -> None:
        """Raise UsageError unless ffmpeg can read sound from the file."""
        if not self.file.is_file():
            raise UsageError(f"--audio {self.file}: no such file")
        args = [ffmpeg, "-v", "error", "-i", self._url, "-map", "0:a:0", "-t", "0.1", "-f", "null", "-"]
        try:
            done = subprocess.run(
                args, capture_output=True, stdin=subprocess.DEVNULL, timeout=_PROBE_TIMEOUT_S
            )
        except subprocess.TimeoutExpired:
            raise UsageError(
                f"--audio {self.file}: could not be read within {_PROBE_TIMEOUT_S} s",
                hint="use a copy on a local disk",
            ) from None
        if done.returncode:
            raise UsageError(f"--audio {self.file}: no readable sound", hint="use MP3, M4A, WAV or Ogg")

    @property
    def _url(self) -> str:
        return f"file:{self.file.absolute()}"

    def input_args(self) -> list[str]:
        """Return the arguments that read the file."""
        return [*(("-stream_loop", "-1") if self.loop else ()), "-i", self._url]

    def endless_source(self) -> str:
        """Return the sound of a stream as a source of ffmpeg's lavfi, which yields no more than is encoded."""
        name = str(self.file.absolute())
        for special in ("\\':", "\\'[],;"):  # an option's value, then a filter graph
            name = "".join(f"\\{c}" if c in special else c for c in name)
        rest = "asetpts=N/SR/TB" if self.loop else "apad"  # the times start at 0 with every round
        return f"amovie={name}:loop={0 if self.loop else 1},aresample=44100,{rest}"

    def filters(self, seconds: float | None) -> str:
        """Return the ffmpeg filters for a video of a length in seconds, None for an endless one."""
        if seconds is None:
            return "apad"
        fade = min(_FADE_S, _FADE_SHARE * seconds)
        return f"apad,atrim=duration={seconds:.6f},afade=t=out:st={seconds - fade:.6f}:d={fade:.6f}"
