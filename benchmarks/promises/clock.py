"""Clock that jumps by an hour while a stream and a server run: neither stalls nor floods."""

import json
import os
import random
import subprocess
import time
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

from benchmarks.load_test import PlayerReport, play, serving
from benchmarks.promises.process import IMAGE, SMALL, TIMEOUT_S, Outcome, start

JUMPS_S = (3600, -3600)
JUMP_AFTER_S = 6.0
LENGTH_S, FPS = 10, 16
MAX_DEVIATION = 0.05  # of the frame rate of a short stream

# Moves the clock of the wall; the monotonic one stays.
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static int (*real)(clockid_t, struct timespec *);
static struct timespec begin;
__attribute__((constructor)) static void start(void) {
  real = dlsym(RTLD_NEXT, "clock_gettime");
  real(CLOCK_MONOTONIC, &begin);
}
int clock_gettime(clockid_t id, struct timespec *now) {
  struct timespec steady;
  if (!real) start();
  int result = real(id, now);
  real(CLOCK_MONOTONIC, &steady);
  if (id == CLOCK_REALTIME && steady.tv_sec - begin.tv_sec >= atol(getenv("JUMP_AFTER_S")))
    now->tv_sec += atol(getenv("JUMP_S"));
  return result;
}
time_t time(time_t *out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out) *out = now.tv_sec;
  return now.tv_sec;
}
int gettimeofday(struct timeval *restrict out, void *restrict zone) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  out->tv_sec = now.tv_sec;
  out->tv_usec = now.tv_nsec / 1000;
  return 0;
}
"""


def make_shim(folder: Path) -> Path:
    """Compile the library that moves the clock."""
    source, library = folder / "clock.c", folder / "clock.so"
    source.write_text(SHIM)
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    return library


def stream(environ: dict[str, str]) -> tuple[float, str]:
    """Stream across the jump; return the frames sent a second by the steady clock, and a failure."""
    move = ("--moves", "w-4000", "--prompt", "a court", *SMALL, "--device", "cpu")
    run = start(
        ["stream", IMAGE, *move, "--duration", f"{LENGTH_S}s", "--to", "null:", "--json"],
        environ,
        stdout=subprocess.PIPE,
    )
    assert run.stdout is not None
    times = []
    for line in run.stdout:
        event = json.loads(line)
        if event["event"] in ("stream", "done"):
            times.append((time.monotonic(), event["outputs"][0]["sent"]))
    run.stdout.close()
    code = run.wait(TIMEOUT_S)
    (begin, first), (end, last) = times[0], times[-2]
    fps = (last - first) / (end - begin)
    failed = code or abs(fps / FPS - 1) > MAX_DEVIATION
    return fps, f"stream: exit code {code}, {fps:.2f} frames a second" if failed else ""


def session(environ: dict[str, str]) -> tuple[float, str]:
    """Play on a server across the jump; return the longest time without frames, and a failure."""
    report = PlayerReport()
    with patch.dict(os.environ, environ), serving(["--idle", "60", "--grace", "60"]) as server:
        play(server.url, report, time.monotonic() + JUMP_AFTER_S + LENGTH_S, random.Random(0))
    times = [moment for moment, _ in report.frames]
    gap = max((after - before for before, after in pairwise(times)), default=0.0)
    early = report.fps > FPS * (1 + MAX_DEVIATION)
    failed = report.failure or len(times) < 4 or early
    return gap, f"server: {report.fps:.1f} frames a second; {report.failure}" if failed else ""


def clock_jumps(folder: Path, tries: int = 1) -> Outcome:
    """Stream and serve while the clock jumps an hour forwards and back."""
    library, failures, rates, gaps = make_shim(folder), [], [], []
    for jump_s in tries * JUMPS_S:
        environ = {"LD_PRELOAD": str(library), "JUMP_S": str(jump_s), "JUMP_AFTER_S": str(int(JUMP_AFTER_S))}
        for measure, figures in ((stream, rates), (session, gaps)):
            figure, failure = measure(environ)
            figures.append(figure)
            if failure:
                failures.append(f"{jump_s:+d} s: {failure}")
    figure = (
        f"{min(rates):.2f} to {max(rates):.2f} frames a second sent, chunks at most {max(gaps):.1f} s apart"
    )
    return Outcome("clock jumps", len(rates) + len(gaps), figure, tuple(failures))
