"""Sample images and recipes of the package: `samples/…` and `recipes/…` name them in every folder."""

import json
from pathlib import Path

PACKAGE = Path(__file__).parent
FOLDERS = ("samples", "recipes")
FIRST_IMAGE, FIRST_PROMPT = "samples/courtyard-day.png", "a stone courtyard in the morning"
_DATA = (".png", ".yaml", ".jsonl", ".yml", ".sbatch")


def sample_names() -> list[str]:
    """Return the names of all samples and recipes."""
    files = (file for folder in FOLDERS for file in sorted((PACKAGE / folder).glob("**/*")))
    return [file.relative_to(PACKAGE).as_posix() for file in files if file.suffix in _DATA]


def complete_names(incomplete: str) -> list[str]:
    """Return the samples and recipes whose names begin so; none where files do, which the shell completes."""
    folder, slash, start = incomplete.rpartition("/")
    try:
        if any(path.name.startswith(start) for path in Path(folder + slash or ".").iterdir()):
            return []
    except OSError:  # no such folder
        pass
    return [name for name in sample_names() if name.startswith(incomplete)]


def find_inputs(text: str) -> list[str]:
    """Return the files that an argument names: the package's for names under samples/ and recipes/ without a file.

    Their names may hold `*`, which a shell leaves where nothing matches.
    """
    if Path(text).parts[:1] not in {(folder,) for folder in FOLDERS}:
        return [text]
    try:
        if Path(text).exists():
            return [text]
        return sorted(str(file) for file in PACKAGE.glob(text) if file.is_file()) or [text]
    except (OSError, ValueError):  # too long a name, or a pattern such as **.yaml
        return [text]


def find_input(text: str) -> str:
    """Return the file that an argument names."""
    return find_inputs(text)[0]


def find_sample(name: str, folder: Path) -> Path | None:
    """Return the package's file of a name under samples/ or recipes/ that a folder lacks; None for other names."""
    known = name.startswith(FOLDERS) and name in sample_names() and not (folder / name).exists()
    return PACKAGE / name if known else None


def summary(name: str) -> str:
    """Return a recipe's first comment or the note of its header, empty without one."""
    if Path(name).suffix == ".png":
        return ""
    line = (PACKAGE / name).read_text(encoding="utf-8").partition("\n")[0]
    if line.startswith("{"):
        line = "# " + json.loads(line).get("note", "").partition(" When to use it")[0]
    return line.removeprefix("# ") if line.startswith("# ") else ""
