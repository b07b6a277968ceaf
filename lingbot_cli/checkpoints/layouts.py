"""Which of the published layouts a folder has, and where its parts lie (model §3)."""

from dataclasses import dataclass
from pathlib import Path

from lingbot_cli.errors import SetupError, UsageError

INDEX = ".safetensors.index.json"


@dataclass(frozen=True)
class Layout:
    """A recognised checkpoint. Each part is a folder of shards, a safetensors file or a `.pth` file.

    `preset` is the one the layout belongs to; None where the folder's own config names it.
    `config` is None where the layout has none.
    """

    kind: str
    root: Path
    preset: str | None
    transformer: Path
    config: Path | None
    vae: Path
    text: Path
    tokenizer: Path

    @property
    def parts(self) -> dict[str, Path]:
        """The three parts that hold tensors, by name."""
        return {"transformer": self.transformer, "vae": self.vae, "text encoder": self.text}


@dataclass(frozen=True)
class LayoutSpec:
    """What a layout looks like: paths under its root, and under `--assets` for what it lacks."""

    kind: str
    preset: str | None
    marker: str
    transformer: str
    config: str | None = None
    vae: str = "Wan2.1_VAE.pth"
    text: str = "models_t5_umt5-xxl-enc-bf16.pth"
    tokenizer: str = "google/umt5-xxl/tokenizer.json"
    needs_assets: bool = False


LAYOUTS = (
    LayoutSpec(
        kind="lingbot",
        preset=None,
        marker="lingbot.json",
        transformer="transformer.safetensors",
        config="lingbot.json",
        vae="vae.safetensors",
        text="text_encoder.safetensors",
        tokenizer="tokenizer.json",
    ),
    LayoutSpec(
        kind="diffusers",
        preset=None,
        marker="model_index.json",
        transformer="transformer",
        config="transformer/config.json",
        vae="vae",
        text="text_encoder",
        tokenizer="tokenizer/tokenizer.json",
    ),
    LayoutSpec(
        kind="v1 original",
        preset="lingbot-world-fast",
        marker="lingbot_world_fast",
        transformer="lingbot_world_fast",
        config="lingbot_world_fast/config.json",
    ),
    LayoutSpec(
        kind="v2 14B original",
        preset="lingbot-world-v2-14b-causal-fast",
        marker="transformers",
        transformer="transformers",
        config="transformers/config.json",
    ),
    LayoutSpec(
        kind="v2 1.3B original",
        preset="lingbot-world-v2-1.3b-causal-fast",
        marker="model.safetensors.index.json",
        transformer=".",
        needs_assets=True,
    ),
)
"""Tried in this order: the first whose marker is there is the layout."""


def detect_layout(root: Path, assets: Path | None = None) -> Layout:
    """The layout of a checkpoint's folder; `assets` is a second folder for the parts the first lacks.

    Errors: SetupError listing what was found and what is missing, UsageError for assets that are not needed.
    """
    if not root.is_dir():
        raise SetupError(f"There is no folder {root}.", hint="`lingbot models list` says what is here.")
    if assets is not None:
        check_assets(assets)
    shape = next((shape for shape in LAYOUTS if (root / shape.marker).exists()), None)
    if shape is None:
        raise _unknown(root)
    wanted = {
        "transformer": shape.transformer,
        "config": shape.config,
        "vae": shape.vae,
        "text": shape.text,
        "tokenizer": shape.tokenizer,
    }
    found: dict[str, Path] = {}
    missing: list[str] = []
    for part, relative in wanted.items():
        if relative is None:
            continue
        place = _find_part(part, relative, root, assets)
        if place is None:
            missing.append(relative)
        else:
            found[part] = place
    if missing:
        raise _incomplete(root, assets, shape, missing)
    if assets is not None and all((root / relative).exists() for relative in wanted.values() if relative):
        raise UsageError(
            f"--assets {assets}: {root} has all its parts and takes none from there.",
            hint="Leave --assets out.",
        )
    return Layout(
        kind=shape.kind,
        root=root,
        preset=shape.preset,
        transformer=found["transformer"],
        config=found.get("config"),
        vae=found["vae"],
        text=found["text"],
        tokenizer=found["tokenizer"],
    )


def shards(part: Path) -> tuple[list[Path], Path | None]:
    """The safetensors files of a part and the index over them, if there is one.

    Errors: SetupError when there is nothing, or several indices.
    """
    if part.is_file():
        return [part], None
    files = sorted(part.glob("*.safetensors"))
    indices = sorted(part.glob(f"*{INDEX}"))
    if len(indices) > 1:
        raise SetupError(f"{part} has {len(indices)} indices and should have one.")
    if not files:
        raise SetupError(f"{part} has no *.safetensors file.", hint="Fetch the model again.")
    for file in (*files, *indices):
        _check_inside(file, part)
    return files, (indices[0] if indices else None)


def _find_part(part: str, relative: str, root: Path, assets: Path | None) -> Path | None:
    for folder in (root, assets):
        if folder is None:
            continue
        place = folder / relative
        if part == "transformer" and relative != "." and folder is assets:
            continue
        if place.exists():
            _check_inside(place, folder)
            return place
        if folder is assets and part in ("vae", "text", "tokenizer"):
            other = _find_part_in_any_layout(part, folder)
            if other is not None:
                return other
    return None


def _find_part_in_any_layout(part: str, folder: Path) -> Path | None:
    """The part in `--assets`, whichever layout that folder has."""
    for shape in LAYOUTS:
        place = folder / {"vae": shape.vae, "text": shape.text, "tokenizer": shape.tokenizer}[part]
        if place.exists():
            _check_inside(place, folder)
            return place
    return None


def check_assets(assets: Path) -> None:
    """Raise SetupError unless there is such a folder."""
    if not assets.is_dir():
        raise SetupError(
            f"--assets {assets} is a file."
            if assets.exists()
            else f"--assets {assets}: there is no such folder.",
            hint="Name the folder that holds the VAE, the text encoder and the tokenizer.",
        )


def _check_inside(place: Path, root: Path) -> None:
    """Refuse a link that leads out of the folder; the hub's own cache links into its blobs and may."""
    real, home = place.resolve(), root.resolve()
    if real.is_relative_to(home):
        return
    snapshots = next((parent for parent in home.parents if parent.name == "snapshots"), None)
    if snapshots is not None and real.is_relative_to(snapshots.parent / "blobs"):
        return
    raise SetupError(
        f"{place} is a link that leads out of the folder, to {real}.",
        hint="Put the file itself there; a model's files must lie under its folder.",
    )


def _list_names(root: Path) -> str:
    names = sorted(path.name + ("/" if path.is_dir() else "") for path in root.iterdir())
    shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    return shown or "nothing"


def _unknown(root: Path) -> SetupError:
    known = "; ".join(f"{shape.kind}: {shape.marker}" for shape in LAYOUTS)
    return SetupError(
        f"{root} is no layout of a LingBot world we know. Found: {_list_names(root)}. "
        f"Each layout is known by one name, and none of them is there ({known}).",
        hint="Name the folder that holds the whole model, or fetch one with `lingbot models pull`.",
    )


def _incomplete(root: Path, assets: Path | None, shape: LayoutSpec, missing: list[str]) -> SetupError:
    if shape.needs_assets and assets is None:
        hint = "This model shares those with the 14B one: name a folder that holds them with --assets DIR."
    elif shape.needs_assets:
        hint = f"{assets} has {_list_names(assets or root)}; --assets must hold the missing parts."
    else:
        hint = "Fetch the missing parts; `lingbot models pull` fetches only what is not there."
    return SetupError(
        f"{root} looks like {shape.kind}. Found: {_list_names(root)}. Missing: {', '.join(missing)}.",
        hint=hint,
    )
