"""`lingbot stream`: a timeline or live events, sent to RTMP, SRT or WHIP servers, or to a file."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import typer

from lingbot_cli.cli.app import App, option
from lingbot_cli.cli.model_flags import MODEL_FLAGS, Gpus, shared_by_gpus
from lingbot_cli.cli.options import DisplayFlags, Engine, FirstImage, Overwrite, TimelineFlags
from lingbot_cli.cli.render_flags import EncodedFlags
from lingbot_cli.env import Env
from lingbot_cli.errors import LingbotError, UsageError
from lingbot_cli.files import check_folder, check_new, write_file
from lingbot_cli.runtime.model_options import ModelOptions
from lingbot_cli.ui.display import Report
from lingbot_cli.ui.signals import StopRequest

if TYPE_CHECKING:
    from lingbot_cli.broadcast.broadcast import BroadcastOptions
    from lingbot_cli.render.multi_gpu import ProcessGroup
    from lingbot_cli.render.request import Request
    from lingbot_cli.sinks.base import Sink
    from lingbot_cli.sinks.live.targets import Target
    from lingbot_cli.timeline.live import LiveTimeline
    from lingbot_cli.ui.display import Display

app = App()
_BITRATE = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*(k|m)?(?:b(?:it)?(?:/s|ps)?)?", re.ASCII | re.I)
_MIN_KBITS, _MAX_KBITS = 50, 100_000


def bitrate_value(text: str) -> int:
    """Return an option's bit rate in kbit/s: 2500, 2500k or 2.5M. Errors: BadParameter."""
    match = _BITRATE.fullmatch(text.strip())
    if match is None:
        raise typer.BadParameter(f"{text[:40]!r} is not a bit rate; write 2500, 2500k or 2.5M")
    kbits = round(float(match[1]) * (1000 if (match[2] or "k").lower() == "m" else 1))
    if not _MIN_KBITS <= kbits <= _MAX_KBITS:
        raise typer.BadParameter(f"{text[:40]} is not in the range {_MIN_KBITS}k to {_MAX_KBITS // 1000}M")
    return kbits


@dataclass(frozen=True)
class StreamTimelineFlags(TimelineFlags):
    """Camera and prompt of a stream; `--timeline -` reads live events."""

    loop: Annotated[bool, option("Repeat the timeline until Ctrl-C.")] = False
    save_timeline: Annotated[
        Path | None, option("Write the live events to a timeline that renders the same video.")
    ] = None

    @property
    def live(self) -> bool:
        """True if events come from standard input."""
        return self.timeline == "-" and self.moves is None and self.poses is None

    def check(self) -> None:
        """Refuse flags that need a timeline of the other kind. Errors: UsageError."""
        if self.live and self.loop:
            raise UsageError(
                "--loop needs a timeline that ends", hint="name a file with --timeline, or use --moves"
            )
        if self.save_timeline is not None and not self.live:
            raise UsageError("--save-timeline needs --timeline -", hint="leave one of them out")


@dataclass(frozen=True)
class StreamOutputFlags(EncodedFlags):
    """Targets of a stream, their encoding and pace."""

    panel: ClassVar[str] = "Output"

    to: Annotated[
        list[str] | None,
        option(
            "rtmp://HOST/APP/KEY, rtmps://…, srt://HOST:PORT, udp://HOST:PORT, whip+https://TOKEN@HOST/PATH, a file, "
            "an HLS playlist or null:. Repeatable.",
            metavar="URL",
            default="LINGBOT_STREAM_URL",
        ),
    ] = None
    to_file: Annotated[
        Path | None, option("Read targets from a file, one per line: no key in the shell's history.")
    ] = None
    record: Annotated[Path | None, option("Also write the video to a file, without repeats.")] = None
    overwrite: Overwrite = False
    pace: Annotated[
        Literal["hold", "smooth", "drop"],
        option("Late frames: hold repeats the last one, smooth spreads them, drop skips some."),
    ] = "hold"
    lead: Annotated[
        float | None,
        option(
            "Seconds of video buffered ahead.",
            min=0,
            max=60,
            metavar="SECONDS",
            default="1, or 0.25 with --timeline -",
        ),
    ] = None
    bitrate: Annotated[
        int | None,
        option(
            "Bitrate in kbit/s, or such as 2500k or 2.5M.",
            parser=bitrate_value,
            metavar="KBITS",
            default="by the size",
        ),
    ] = None
    no_audio: Annotated[bool, option("Leave out the silent audio track.")] = False

    def targets(self, env: Env) -> "list[Target]":
        """Return the targets to send to. Errors: UsageError."""
        from lingbot_cli.sinks.live.targets import StreamOptions, choose_target

        if self.audio is not None and self.no_audio:
            raise UsageError("--audio and --no-audio exclude each other", hint="leave one of them out")
        options = StreamOptions(
            self.bitrate, not self.no_audio, self.overwrite, self.rescale(), self.soundtrack(env)
        )
        return [choose_target(url, options, env.environ) for url in self._urls(env)]

    def _urls(self, env: Env) -> list[str]:
        from lingbot_cli.sinks.formats import format_of_suffix
        from lingbot_cli.sinks.live.targets import read_urls
        from lingbot_cli.sinks.output_paths import check_distinct

        urls = [*(self.to or ()), *(read_urls(self.to_file) if self.to_file is not None else ())]
        if not urls and env.environ.get("LINGBOT_STREAM_URL"):
            urls = [env.environ["LINGBOT_STREAM_URL"].strip()]
        if not urls:
            raise UsageError(
                "--to is required", hint="use --to rtmp://HOST/APP/KEY, --to-file, or LINGBOT_STREAM_URL"
            )
        if len(set(urls)) < len(urls):
            raise UsageError("--to: a target is named twice")
        files = [url for url in urls if "://" not in url and format_of_suffix(url) is not None]
        check_distinct([*files, *([str(self.record)] if self.record is not None else [])], option="--to")
        return urls

    def recording(self, env: Env) -> "Sink | None":
        """Return the sink of --record."""
        from lingbot_cli.sinks.factory import OutputOptions, choose_sink

        if self.record is None:
            return None
        options = OutputOptions(overwrite=self.overwrite, rescale=self.rescale(), audio=self.soundtrack(env))
        return choose_sink(str(self.record), options, env.environ)


@app.command()
def stream(
    ctx: typer.Context,
    image: FirstImage,
    timeline: StreamTimelineFlags,
    output: StreamOutputFlags,
    model: Annotated[ModelOptions, MODEL_FLAGS],
    display: DisplayFlags,
    engine: Engine = None,
    gpus: Gpus = 1,
) -> None:
    """Stream a video to RTMP, SRT, WHIP or a file at a steady rate, until its timeline ends or Ctrl-C.

    Example: lingbot stream samples/courtyard-day.png -t recipes/look-around.jsonl --loop --to rtmp://HOST/APP/KEY
    """
    from lingbot_cli.broadcast.broadcast import LEAD_S, LIVE_LEAD_S, BroadcastOptions, broadcast
    from lingbot_cli.broadcast.source import prepare_loop, prepare_video_stream
    from lingbot_cli.sinks.base import TeeSink

    env: Env = ctx.obj
    timeline.check()
    targets, sink = output.targets(env), output.recording(env)
    with shared_by_gpus(env, model, gpus, engine) as (options, group):
        request = timeline.request(image, options, engine, env)
        shown, preview = display.open(env, env.out, typed=timeline.live)
        if preview is not None:
            sink = preview if sink is None else TeeSink([sink, preview])
        lead = output.lead if output.lead is not None else LIVE_LEAD_S if timeline.live else LEAD_S
        sending = BroadcastOptions(targets, output.pace, lead, sink)
        try:
            if timeline.live:
                _stream_live(
                    env, request, sending, shown, timeline.save_timeline, group, overwrite=output.overwrite
                )
            else:
                prepared = prepare_loop(request) if timeline.loop else prepare_video_stream(request)
                broadcast(prepared, sending, shown, tracker=None, clock=env.clock, group=group)
        except LingbotError as error:
            shown.error(error)
            raise
        finally:
            shown.close()


def _stream_live(
    env: Env,
    request: "Request",
    options: "BroadcastOptions",
    display: "Display",
    save: Path | None,
    group: "ProcessGroup | None",
    *,
    overwrite: bool,
) -> None:
    """Stream the events of standard input; `save`: the timeline to write them to at the end."""
    from lingbot_cli.broadcast.broadcast import broadcast
    from lingbot_cli.broadcast.source import prepare_live
    from lingbot_cli.broadcast.stats import LatencyTracker
    from lingbot_cli.broadcast.stdin_events import EventReader, apply_events

    if save is not None:
        check_folder(save.parent)
        check_new(save, overwrite=overwrite)

    def refuse(line: int, text: str) -> None:
        display.event("skipped", Report({"line": line, "message": text.splitlines()[0]}, text))

    # Not through the stream's buffer: a thread that waits there could not be left behind at the end.
    lines = EventReader(lambda: os.read(env.stdin.fileno(), 1 << 16), refuse)
    display.event("waiting", Report({}, "for the first line on standard input"))
    with StopRequest(display.warning).handling():
        header = lines.header()
    prepared, live = prepare_live(request, header, remember=save is not None)
    tracker = LatencyTracker(live, env.clock)
    apply_events(lines, live, tracker.received, env.clock)
    try:
        broadcast(prepared, options, display, tracker=tracker, clock=env.clock, group=group)
    except BaseException:
        try:
            _save_events(live, save)
        except LingbotError as failure:  # the error that ended the stream counts
            display.warning(str(failure))
        raise
    _save_events(live, save)


def _save_events(live: "LiveTimeline", file: Path | None) -> None:
    if file is not None:
        write_file(file, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in live.record()))
