"""`--fast` and its speed options: in the plan, in the metadata, and repeatable."""

import json
import shlex
from pathlib import Path

import pytest
from safetensors.torch import save_file

from lingbot_cli.batch.planner import plan_tasks
from lingbot_cli.batch.tasks import read_tasks
from lingbot_cli.render import launcher
from lingbot_cli.runtime import fast_mode
from lingbot_cli.timeline.load import read_source
from tests.support.command import lingbot
from tests.support.fitted_decoder import fitted_tensors

PICTURE = Path(__file__).parents[2] / "samples" / "courtyard-day.png"
FILM = (
    "render",
    str(PICTURE),
    "--moves",
    "w-12",
    "--size",
    "32x32",
    "--prompt",
    "a courtyard",
    "--device",
    "cpu",
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A tiny decoder of the built-in model's latents, in the published file's form."""
    path = tmp_path_factory.mktemp("tiny") / "taew2_1.safetensors"
    save_file(fitted_tensors(), path)
    return path


def test_the_plan_lists_the_options_of_fast():
    said = lingbot(*FILM, "--fast", "--linears", "fp8", "--dry-run", "-o", "null:").stdout
    assert "window 9 · sink 3 · steps 0,250,500,750 · shift 5 · linears fp8" in said
    assert "fast: linears fp8, window 9; without int8 attention: its kernels need a CUDA device" in said
    assert "only emulated on this device" in said
    facts = json.loads(lingbot(*FILM, "--linears", "fp8", "--dry-run", "--json", "-o", "null:").stdout)
    assert facts["speed_options"] == {"linears": "fp8"}


def test_metadata_holds_the_speed_options_and_renders_the_same_video(tmp_path, tiny):
    film, again = tmp_path / "a.mp4", tmp_path / "b.mp4"
    speed_options = ("--fast", "--linears", "fp8", "--decoder", str(tiny))
    done = lingbot(*FILM, *speed_options, "--json", "-o", str(film))
    first = json.loads(done.stdout.splitlines()[-1])
    recipe = json.loads(lingbot("show", str(film), "--json").stdout)
    kept = {name: recipe["flags"].get(name) for name in ("linears", "window", "decoder", "fast")}
    assert kept == {"linears": "fp8", "window": 9, "decoder": str(tiny), "fast": None}
    assert str(tiny) in recipe["files"]
    words = shlex.split(lingbot("show", str(film)).stdout.splitlines()[-1])
    for flag, value in (("linears", "fp8"), ("window", "9"), ("decoder", str(tiny))):
        assert words[words.index(f"--{flag}") + 1] == value
    words[words.index("-o") + 1] = str(again)
    second = json.loads(lingbot(*words[1:], "--json").stdout.splitlines()[-1])
    assert second["latents"] == first["latents"]
    assert lingbot("diff", str(film), str(again)).code == 0


def test_an_eight_bit_kv_cache_is_printed_and_repeatable(tmp_path):
    said = json.loads(lingbot(*FILM, "--kv-cache", "int8", "--dry-run", "--json", "-o", "null:").stdout)
    assert said["speed_options"] == {"kv-cache": "int8"}
    videos = tmp_path / "exact.mp4", tmp_path / "int8.mp4"
    for path, options in zip(videos, ([], ["--kv-cache", "int8"]), strict=True):
        assert lingbot(*FILM, "--moves", "w-40", *options, "-o", str(path)).code == 0
    assert lingbot("diff", *map(str, videos)).code == 1
    assert lingbot("diff", *map(str, videos), "--min-psnr", "30").code == 0
    assert " --kv-cache int8 " in lingbot("show", str(videos[1])).stdout


def test_some_frames_are_those_of_the_whole_video(tmp_path, tiny):
    long = tuple(word if word != "w-12" else "w-150" for word in FILM)
    for name, frames in (("whole", "0:"), ("some", "140:")):
        done = lingbot(*long, "--decoder", str(tiny), "--frames", frames, "-o", str(tmp_path / f"{name}.rgb"))
        assert done.code == 0, done.stderr
    whole, some = ((tmp_path / f"{name}.rgb").read_bytes() for name in ("whole", "some"))
    assert len(some) == 10 * 32 * 32 * 3
    assert whole.endswith(some)


def test_missing_int8_attention_is_an_error(tmp_path):
    refused = lingbot(*FILM, "--attention", "int8", "-o", str(tmp_path / "a.mp4"))
    assert refused.code == 3
    assert "--attention int8: its kernels need a CUDA device" in refused.stderr
    assert list(tmp_path.glob("*.mp4")) == []


def test_a_decoder_is_found_by_name_or_named_with_the_way_to_it(tmp_path, tiny, monkeypatch):
    refused = lingbot(*FILM, "--decoder", "none.pth", "-o", "null:")
    assert (refused.code, "use a file or taew2_1, lighttaew2_1, lightvae" in refused.stderr) == (2, True)
    monkeypatch.setenv("LINGBOT_CACHE_DIR", str(tmp_path))
    missing = lingbot(*FILM, "--decoder", "taew2_1", "-o", "null:")
    assert (missing.code, "lingbot models pull taew2_1" in missing.stderr) == (3, True)
    (tmp_path / "decoders").mkdir()
    (tmp_path / "decoders" / tiny.name).write_bytes(tiny.read_bytes())
    planned = lingbot(*FILM, "--decoder", "taew2_1", "--dry-run", "--json", "-o", "null:")
    assert json.loads(planned.stdout)["speed_options"] == {"decoder": "taew2_1"}
    assert lingbot(*FILM, "--decoder", "taew2_1", "-o", "null:").code == 0
    wrong = tmp_path / "lighttaew2_1.safetensors"
    wrong.write_bytes(tiny.read_bytes())
    refused = lingbot(*FILM, "--decoder", str(wrong), "-o", "null:")
    assert (refused.code, "its colours are right only as taew2_1" in refused.stderr) == (3, True)


@pytest.mark.parametrize("command", ["render", "stream", "play", "serve", "bench"])
def test_every_command_has_the_speed_options(command):
    said = lingbot(command, "--help").stdout
    for flag in (
        "--fast",
        "--linears",
        "--attention",
        "--kv-cache",
        "--window",
        "--decoder",
        "--kernel",
        "--threads",
    ):
        assert flag in said


def test_a_batch_takes_them_by_job_and_for_all(tmp_path):
    jobs = tmp_path / "jobs.jsonl"
    job = {"image": str(PICTURE), "moves": "w-4", "size": "32x32"}
    jobs.write_text(
        "".join(json.dumps(job | {"output": f"{n}.mp4", "linears": n}) + "\n" for n in ("fp8", "exact"))
    )
    said = read_tasks(read_source(str(jobs)), allow_outside=True)
    planned = plan_tasks([task.configured(None, fast=True) for task in said])
    settings = [film.task.request.options.flags() for film in planned]
    assert settings == [{"window": 9, "linears": "fp8"}, {"window": 9}]
    assert len({film.fingerprint for film in [*planned, *plan_tasks(said)]}) == 4


@pytest.mark.parametrize("command", [(*FILM, "-o", "null:"), ("serve", "--image", str(PICTURE))])
def test_the_launcher_of_several_gpus_measures_nothing(command, monkeypatch):
    launched = []

    def context(*_):
        raise AssertionError("a CUDA context in the launcher")

    monkeypatch.setattr(fast_mode, "cuda_capability", lambda _: (9, 0))
    monkeypatch.setattr(fast_mode, "int8_attention_problem", lambda _: None)
    monkeypatch.setattr(fast_mode, "int8_attention_wins", context)
    monkeypatch.setattr(launcher, "launch_processes", lambda _argv, count, *_: launched.append(count) or 0)
    assert lingbot(*command, "--gpus", "2", "--fast").code == 0
    assert launched == [2]
