"""Published checkpoint layouts: detection by marker file, and the paths of each part (model §3)."""

from dataclasses import dataclass
from pathlib import Path

from lingbot_cli.checkpoints.other_models import other_folder, unfinished_files
from lingbot_cli.errors import SetupError, UsageError

INDEX_SUFFIX = ".safetensors.index.json"
V1_PRESET = "lingbot-world-fast"
GGUF_TRANSFORMER = "transformer.gguf"
"""The transformer in our own layout where it was converted to GGUF."""
ONE_FILE_SUFFIXES = (".safetensors", ".gguf")
TEXT_PATTERNS = ("*umt5*.safetensors", "*umt5*.gguf")
VAE_PATTERNS = ("*wan*vae*.safetensors", "*Wan*VAE*.safetensors")
"""Names under which the text encoder and the VAE are published as one file beside others."""


@dataclass(frozen=True)
class Layout:
    """A detected checkpoint; each part is a folder of shards, a safetensors file or a `.pth` file.

    `preset` is None if the folder's own config names it; `config` is None if the layout has none.
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
    """A published layout: its marker and the paths of its parts under the root, or under `--assets`."""

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
        preset=V1_PRESET,
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
        kind="v1 flat",
        preset=None,
        marker="diffusion_pytorch_model.safetensors.index.json",
        transformer=".",
        config="config.json",
        needs_assets=True,
    ),
    LayoutSpec(
        kind="v2 1.3B original",
        preset="lingbot-world-v2-1.3b-causal-fast",
        marker="model.safetensors.index.json",
        transformer=".",
        needs_assets=True,
    ),
)
"""Tried in this order; the first one whose marker exists is the folder's layout."""


def detect_layout(root: Path, assets: Path | None = None, text: Path | None = None) -> Layout:
    """Return the layout of a checkpoint's folder; `assets` is a second folder for parts that the first lacks.

    `text`: a text encoder's file or folder, in place of the layout's own.

    Errors: SetupError that lists found and missing files, UsageError for unneeded assets.
    """
    if text is not None and not text.is_file() and not text.is_dir():
        raise UsageError(
            f"--text-encoder {text}: no such file", hint="name a .safetensors, .gguf or .pth file"
        )
    if root.is_file():
        return _one_file(root, assets, text)
    if not root.is_dir():
        raise SetupError(
            f"{root}: no such folder", hint="run `lingbot models list` for the models on this machine"
        )
    if assets is not None:
        check_assets(assets)
    if (other := other_folder(root)) is not None:
        raise other
    spec = next((spec for spec in LAYOUTS if (root / spec.marker).exists()), None)
    if spec is None:
        weights = [file for file in sorted(root.iterdir()) if file.suffix in ONE_FILE_SUFFIXES]
        if len(weights) != 1:
            known = "; ".join(f"{spec.kind}: {spec.marker}" for spec in LAYOUTS)
            raise SetupError(
                f"{root}: not a known checkpoint layout; found: {_list_names(root)}; known markers: {known}",
                hint="name the folder that holds the whole model, or download one with `lingbot models pull`",
            )
        _check_inside(weights[0], root)
        return _one_file(weights[0], assets, text)
    parts = ("transformer", "config", "vae", "text", "tokenizer")
    wanted = {part: path for part in parts if (path := getattr(spec, part)) is not None}
    if spec.kind == "lingbot" and (root / GGUF_TRANSFORMER).exists():
        wanted["transformer"] = GGUF_TRANSFORMER
    found = {
        part: path
        for part, relative in wanted.items()
        if (path := text if part == "text" and text else _find_part(part, relative, root, assets)) is not None
    }
    missing = [relative for part, relative in wanted.items() if part not in found]
    if missing:
        raise _incomplete(root, assets, spec, missing)
    if assets is not None and all((root / relative).exists() for relative in wanted.values()):
        raise UsageError(f"--assets {assets}: not used, {root} has all its parts", hint="leave --assets out")
    return Layout(
        kind=spec.kind,
        root=root,
        preset=V1_PRESET if spec.kind == "v1 flat" and _is_flat_v1(root) else spec.preset,
        config=found.pop("config", None),
        **found,
    )


def _is_flat_v1(root: Path) -> bool:
    """Return whether a flat folder has v1's sixteen shards; `transformers` is a part of the v2 14B."""
    shards_of_v1 = list(root.glob("diffusion_pytorch_model-*-of-00016.safetensors"))
    return len(shards_of_v1) == 16 and root.resolve().name != "transformers"


def _one_file(file: Path, assets: Path | None, text: Path | None) -> Layout:
    """Return the layout of a transformer in one file, its config beside it if there is one, the rest in `assets`."""
    if file.suffix not in ONE_FILE_SUFFIXES:
        raise SetupError(
            f"{file}: not a model's file", hint="name a folder, or a transformer's .safetensors or .gguf file"
        )
    found = {
        part: None if assets is None else _find_part_in_any_layout(part, assets)
        for part in ("vae", "text", "tokenizer")
    }
    found["text"] = text or found["text"]
    missing = [part for part, path in found.items() if path is None]
    if missing:
        where = "--assets is not given" if assets is None else f"{assets} has {_list_names(assets)}"
        raise SetupError(
            f"{file} holds the transformer alone; missing: {', '.join(missing)}; {where}",
            hint="name the folder of VAE, text encoder and tokenizer.json with --assets DIR",
        )
    config = file.parent / "config.json"
    return Layout(
        kind="one file",
        root=file,
        preset=None,
        transformer=file,
        config=config if config.is_file() else None,
        vae=found["vae"] or file,
        text=found["text"] or file,
        tokenizer=found["tokenizer"] or file,
    )


def check_assets(assets: Path) -> None:
    """Raise SetupError unless `assets` is a folder."""
    if not assets.is_dir():
        raise SetupError(
            f"--assets {assets}: {'is a file, not a folder' if assets.exists() else 'no such folder'}",
            hint="name the folder that holds the VAE, the text encoder and the tokenizer",
        )


def shards(part: Path) -> tuple[list[Path], Path | None]:
    """Return a part's safetensors files, and their index if there is one.

    Errors: SetupError for no file or several indices.
    """
    if part.is_file():
        return [part], None
    files = sorted(part.glob("*.safetensors"))
    indices = sorted(part.glob(f"*{INDEX_SUFFIX}"))
    if len(indices) > 1:
        raise SetupError(f"{part} has {len(indices)} indices instead of one")
    if not files:
        raise SetupError(f"{part} has no *.safetensors file", hint="download the model again")
    for file in (*files, *indices):
        _check_inside(file, part)
        _check_file(file)
    return files, (indices[0] if indices else None)


def _find_part(part: str, relative: str, root: Path, assets: Path | None) -> Path | None:
    for folder in (root, assets):
        if folder is None:
            continue
        path = folder / relative
        if part == "transformer" and relative != "." and folder is assets:
            continue
        if path.exists():
            _check_inside(path, folder)
            if part in ("config", "tokenizer"):
                _check_file(path)
            return path
        if folder is assets and part in ("vae", "text", "tokenizer"):
            other = _find_part_in_any_layout(part, folder)
            if other is not None:
                return other
    return None


def _find_part_in_any_layout(part: str, folder: Path) -> Path | None:
    """Return a part of an assets folder in any of the layouts."""
    for spec in LAYOUTS:
        path = folder / {"vae": spec.vae, "text": spec.text, "tokenizer": spec.tokenizer}[part]
        if path.exists():
            _check_inside(path, folder)
            return path
    patterns = {"vae": VAE_PATTERNS, "text": TEXT_PATTERNS, "tokenizer": ()}[part]
    files = sorted({file for pattern in patterns for file in folder.rglob(pattern) if file.is_file()})
    if len(files) > 1:
        names = ", ".join(str(file.relative_to(folder)) for file in files)
        raise SetupError(
            f"{folder} has several files for the {part}: {names}", hint="leave one of them there"
        )
    return files[0] if files else None


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise SetupError(f"{path} is a folder, not a file", hint="replace it by the model's file")


def _check_inside(path: Path, root: Path) -> None:
    """Refuse a link out of the folder, except into the hub's own cache, and what is neither file nor folder."""
    try:
        real, home = path.resolve(), root.resolve()
    except (OSError, RuntimeError) as error:
        raise SetupError(
            f"{path} is a link that leads to itself", hint="replace the link by the file"
        ) from error
    if real.exists() and not real.is_file() and not real.is_dir():
        raise SetupError(f"{path} is neither a file nor a folder", hint="replace it by the model's file")
    if real.is_relative_to(home):
        return
    snapshots = next((parent for parent in home.parents if parent.name == "snapshots"), None)
    if snapshots is not None and real.is_relative_to(snapshots.parent / "blobs"):
        return
    raise SetupError(
        f"{path} is a link that leads out of the folder, to {real}",
        hint="replace the link by the file: a model's files must lie under its folder",
    )


def _list_names(root: Path) -> str:
    names = sorted(path.name + ("/" if path.is_dir() else "") for path in root.iterdir())
    shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    return shown or "nothing"


def _incomplete(root: Path, assets: Path | None, spec: LayoutSpec, missing: list[str]) -> SetupError:
    unfinished = unfinished_files(root)
    if unfinished:
        hint = f"its download has not finished ({', '.join(unfinished[:3])}): continue it"
    elif spec.needs_assets and assets is None:
        hint = "this model shares them with the 14B one: name a folder that holds them with --assets DIR"
    elif spec.needs_assets:
        hint = f"{assets} has {_list_names(assets or root)}: name a folder with the missing parts in --assets"
    else:
        hint = "download the missing parts; `lingbot models pull` downloads only those"
    return SetupError(
        f"{root} ({spec.kind}) is incomplete; found: {_list_names(root)}; missing: {', '.join(missing)}",
        hint=hint,
    )
