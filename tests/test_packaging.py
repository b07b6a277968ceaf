"""Wheel and sdist: they install, work in any folder and pass tests of their own; manual pages and metadata."""

import importlib.metadata
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import yaml
from PIL import Image

from lingbot_cli import __version__
from lingbot_cli.cli import COMMANDS
from lingbot_cli.sample_files import PACKAGE, sample_names

ROOT = Path(__file__).parents[1]
UV = Path(importlib.util.find_spec("uv").origin)
URL = "https://example.org/someone/lingbot"
PROGRAM = """
import sys, lingbot_cli
assert lingbot_cli.__file__.startswith(sys.argv.pop(1))
from lingbot_cli.__main__ import main
main()
"""


def run(*argv, **how):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=500, check=False, **how)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Return wheel and sdist, the wheel built from the sdist as an index's users would."""
    pytest.importorskip("build")
    pytest.importorskip("setuptools", minversion="77")
    source, out = tmp_path_factory.mktemp("source") / "lingbot", tmp_path_factory.mktemp("dist")
    listed = run("git", "ls-files", "-co", "--exclude-standard", cwd=ROOT).splitlines()
    for name in listed:
        file, copied = ROOT / name, source / name
        if not name.startswith(("tests/data/", "training/")) and (file.is_file() or file.is_symlink()):
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, copied, follow_symlinks=False)
    run(sys.executable, "man/generate.py", "man", cwd=source, env={**os.environ, "PYTHONPATH": str(source)})
    environ = {**os.environ, "LINGBOT_URL": URL}
    run(sys.executable, "-m", "build", "--no-isolation", "-o", str(out), cwd=source, env=environ)
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return wheel, sdist


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """Return a folder with the wheel's packages and another with the sdist's files."""
    site, unpacked = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("sdist")
    with zipfile.ZipFile(built[0]) as wheel:
        wheel.extractall(site)
    with tarfile.open(built[1]) as sdist:
        sdist.extractall(unpacked, filter="data")
    return site, next(unpacked.iterdir())


def test_metadata_and_links(built):
    with zipfile.ZipFile(built[0]) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
        facts = Parser().parsestr(wheel.read(name).decode())
    assert facts["Version"] == __version__
    assert facts["Author"] == "The lingbot authors"
    assert f"Repository, {URL}" in facts.get_all("Project-URL")
    assert "Programming Language :: Python :: 3.14" in facts.get_all("Classifier")
    assert facts["Description-Content-Type"] == "text/markdown"
    readme = facts.get_payload()
    assert f"]({URL}/blob/v{__version__}/docs/timeline.md)" in readme
    assert f"![a walk through the courtyard]({URL}/raw/v{__version__}/docs/first-walk.webp)" in readme
    assert "](docs/" not in readme
    assert "](recipes/" not in readme


def test_the_wheel_renders_and_serves_its_page_in_any_folder(installed, tmp_path):
    site, _ = installed
    environ = {**os.environ, "PYTHONPATH": str(site)}
    argv = (sys.executable, "-c", PROGRAM, str(site))
    run(
        *argv,
        "render",
        "samples/courtyard-day.png",
        "--moves",
        "w-5",
        "--size",
        "64x32",
        "-o",
        "walk.mp4",
        cwd=tmp_path,
        env=environ,
    )
    assert (tmp_path / "walk.mp4").stat().st_size > 1000
    run(*argv, "timeline", "new", "walk.yaml", cwd=tmp_path, env=environ)
    names = {path.relative_to(site).as_posix() for path in site.rglob("*")}
    assert {"lingbot_cli/server/page/index.html", "lingbot_cli/py.typed"} <= names
    pages = {f"lingbot-{__version__}.data/data/share/man/man1/lingbot-{name}.1" for name in COMMANDS}
    assert pages <= names
    assert {f"lingbot_cli/{name}" for name in sample_names()} <= names
    assert not [name for name in names if name.startswith(("tests/", "training/", "benchmarks/"))]


def test_tests_of_the_sdist_pass_with_the_wheel(installed):
    site, source = installed
    environ = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{source}"}
    tests = ("tests/test_redact.py", "tests/test_files.py", "tests/timeline/test_json_schema.py")
    program = PROGRAM.replace(
        "from lingbot_cli.__main__ import main", "from pytest import console_main as main"
    )
    options = ("-p", "no:cacheprovider", "-o", "addopts=", "--import-mode=append")
    command = (sys.executable, "-P", "-c", program, str(site), *options, *tests)
    assert " passed" in run(*command, cwd=source, env=environ)


def test_every_sample_and_recipe_is_packaged():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    files = {file for pattern in settings["package-data"]["lingbot_cli"] for file in PACKAGE.glob(pattern)}
    assert set(sample_names()) <= {file.relative_to(PACKAGE).as_posix() for file in files}


def test_the_version_is_the_same_everywhere():
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__
    headings = [line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")]
    assert headings[0].startswith(f"## {__version__}")


README_PICTURES = re.findall(r"\]\((docs/[a-z-]+\.webp)\)", (ROOT / "README.md").read_text())


def render_again(name, folder):
    """Return the first nine frames of a picture or film, made by its command in the Makefile."""
    recipe = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    commands = re.findall(r"^\t\$\(BIN\)/lingbot (render .+)$", recipe, flags=re.MULTILINE)
    (command,) = (command for command in commands if f"/{Path(name).name} " in command)
    words = re.sub(r"-o (demo|docs)/", f"-o {folder}/", command)
    run(sys.executable, "-m", "lingbot_cli", *shlex.split(words), "--frames", ":9", cwd=ROOT)
    return folder / Path(name).name


@pytest.mark.parametrize("picture", README_PICTURES)
def test_a_picture_in_the_readme_is_of_this_model(picture, tmp_path):
    """The pictures are made by `make drawings`, the first of them by `make demo` as well."""
    made_again = render_again(picture, tmp_path)
    with Image.open(ROOT / picture) as shown, Image.open(made_again) as made:
        assert shown.n_frames == 72
        assert made.n_frames == 9
        assert shown.size == made.size
        for frame in (0, 8):
            shown.seek(frame)
            made.seek(frame)
            error = np.asarray(shown.convert("RGB"), float) - np.asarray(made.convert("RGB"), float)
            assert np.sqrt(np.mean(error**2)) < 5


def test_the_film_of_the_readme_is_of_this_model(tmp_path):
    assert "](docs/a-day.mp4)" in (ROOT / "README.md").read_text()
    made = list(iio.imiter(render_again("docs/a-day.mp4", tmp_path)))
    assert len(made) == 9
    for expected, frame in zip(iio.imiter(ROOT / "docs" / "a-day.mp4"), made, strict=False):
        assert np.sqrt(np.mean((expected.astype(float) - frame) ** 2)) < 5


def test_the_readme_has_two_pictures():
    assert len(README_PICTURES) == 2


@pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff")
def test_manual_pages_have_every_option_and_no_error(tmp_path):
    run(sys.executable, "man/generate.py", str(tmp_path), cwd=ROOT)
    pages = sorted(tmp_path.glob("*.1"))
    assert {page.name for page in pages} == {"lingbot.1", *(f"lingbot-{name}.1" for name in COMMANDS)}
    done = subprocess.run(
        ["groff", "-K", "utf8", "-man", "-Tutf8", "-ww", *map(str, pages)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    text = re.sub(".\b", "", done.stdout)  # bold letters are printed twice
    assert "--kv-cache" in text
    assert "--accept-license" in text


def test_install_falls_back_to_pip_where_uv_fails(tmp_path):
    """Stand-ins for pip and uv log their arguments; uv fails."""
    for module, code in (("pip", "0"), ("uv", "1")):
        (tmp_path / f"{module}.py").write_text(
            f"import sys\nopen('log', 'a').write(' '.join(['{module}', *sys.argv[1:]]) + '\\n')\nsys.exit({code})\n"
        )
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    run(sys.executable, str(ROOT / "install.py"), ".", cwd=tmp_path, env=environ)
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[:2] == ["pip config list", "pip install -q uv"]
    assert lines[2].startswith("uv pip install --python ")
    assert lines[3] == "pip install --progress-bar on ."


@pytest.fixture(scope="module")
def uv_environ(tmp_path_factory):
    """Return an environment in which uv and pip find, without a network, an empty wheel of each dependency alone."""
    folder = tmp_path_factory.mktemp("uv")
    for line in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]:
        name = re.split("[>;]", line)[0].replace("-", "_")
        version = "2.13.0+cpu" if name == "torch" else importlib.metadata.version(name)
        with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
            facts = f"{name}-{version}.dist-info"
            wheel.writestr(f"{facts}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            wheel.writestr(f"{facts}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{facts}/RECORD", "")
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "UV_"))}
    settings = {"NO_INDEX": "1", "FIND_LINKS": folder, "OFFLINE": "1", "PYTHON_DOWNLOADS": "never"}
    folders = {"CACHE_DIR": folder / "cache", "TOOL_DIR": folder / "tools", "TOOL_BIN_DIR": folder / "bin"}
    environ |= {f"UV_{name}": str(value) for name, value in {**settings, **folders}.items()}
    return {
        **environ,
        "UV_PYTHON": sys.executable,
        "PIP_CONFIG_FILE": os.devnull,
        "PYTHONPATH": str(UV.parents[1]),
    }


def test_install_uses_uv(built, uv_environ, tmp_path):
    run(sys.executable, "-m", "venv", "--without-pip", str(tmp_path))
    python = tmp_path / Path(sys.executable).parent.name / "python"
    constraints = str(ROOT / "constraints.txt")
    run(str(python), str(ROOT / "install.py"), "-c", constraints, str(built[0]), env=uv_environ)
    packages = "import importlib.metadata as m; print(m.version('torch'), m.version('lingbot'))"
    assert run(str(python), "-c", packages, cwd=tmp_path) == f"2.13.0+cpu {__version__}\n"
    assert (python.parent / "lingbot").exists()


def test_documented_lines_of_uv_install_the_command(built, uv_environ):
    lines = set(re.findall("`uv (tool install[^`]*) \\.`", (ROOT / "docs" / "install.md").read_text()))
    assert len(lines) == 3
    for line in lines:
        run(sys.executable, "-m", "uv", *line.split(), "--force", str(built[0]), env=uv_environ)
        assert (Path(uv_environ["UV_TOOL_BIN_DIR"]) / "lingbot").exists()
