"""A network's weights: which of a folder's files hold them, and whether they are all there and numbers.

Safetensors alone are read: a pickle can run any code when it is opened.
"""

import re
from collections.abc import Collection, Sequence
from pathlib import Path, PurePath
from typing import Any

import torch
from torch import nn

from core.errors import UserError

#: Weights that downloads often hold in place of the plain ones, the preferred first; they are cast anyway.
VARIANTS = ("fp16", "bf16", "non_ema")
#: Endings of files that may run code when they are read.
PICKLES = (".bin", ".pt", ".ckpt", ".pth")
_STEM = r"(?:diffusion_pytorch_model|model)"
#: Older versions of diffusers put the variant behind a piece's number, and before `index`.
_WEIGHTS = re.compile(rf"{_STEM}(?:\.(?P<variant>\w+))?(?P<piece>-\d+-of-\d+(?:\.(?P<older>\w+))?)?\.safetensors")
_INDEX = re.compile(rf"{_STEM}\.safetensors(?:\.(?P<older>\w+))?\.index(?:\.(?P<variant>\w+))?\.json")


def chosen_variant(name: str, place: str | PurePath, files: Collection[str]) -> str | None:
    """The word for `from_pretrained(variant=...)` by which a network's weights are read.

    Args:
        place: where they are, such as MODEL/unet, for messages.
        files: the names of all files there.

    Raises:
        UserError: there are no weights, pickled ones only, or pieces without the index that says what is in which.
    """
    variant, chosen = _chosen(files)
    if not chosen:
        for file in sorted(files):
            refuse_pickle(Path(place) / file, f"model '{name}': ")
        raise UserError(f"model '{name}': {place} holds no weights (*.safetensors)")
    is_whole = any(not match["piece"] for file in chosen if (match := _WEIGHTS.fullmatch(file)))
    indices = [match["variant"] or match["older"] for file in files if (match := _INDEX.fullmatch(file))]
    if not is_whole and variant not in indices:
        index = f"{chosen[0].split('-')[0].split('.')[0]}.safetensors.index.{f'{variant}.' if variant else ''}json"
        raise UserError(f"model '{name}': {place} holds weights in pieces, and their index is missing: {index}")
    return variant


def refuse_pickle(path: Path, where: str = "") -> None:
    """Refuse a file by its ending.

    Raises:
        UserError: it may run code when it is read; with how to convert it.
    """
    if path.suffix in PICKLES:
        raise UserError(
            f"{where}{path} is a pickle, which may run code when it is read. Convert it where you trust it: "
            "`pipeline.save_pretrained(FOLDER, safe_serialization=True)` of diffusers for a model, "
            "`safetensors.torch.save_file(WEIGHTS, FILE)` for anything else"
        )


def weights_files(folder: Path | None) -> list[Path]:
    """The files that a folder's network is read from: one, or the pieces of one; none where there are none."""
    names = [file.name for file in folder.glob("*.safetensors")] if folder else []
    return [folder / name for name in _chosen(names)[1]] if folder else []


def _chosen(files: Collection[str]) -> tuple[str | None, list[str]]:
    """Which variant is read of a network's files, and which of them that is."""
    of_variant: dict[str | None, list[str]] = {}
    for file in sorted(files):
        if match := _WEIGHTS.fullmatch(file):
            of_variant.setdefault(match["variant"] or match["older"], []).append(file)
    order = [None, *VARIANTS, *sorted(filter(None, of_variant))]
    return next(((variant, of_variant[variant]) for variant in order if variant in of_variant), (None, []))


def check_weights(name: str, part: str, files: Sequence[Path], network: nn.Module, report: dict[str, Any]) -> None:
    """Refuse a network that would guide with chance: weights that its files lack, or that are no numbers.

    Args:
        files: what was read, for messages; none where it is not known.
        report: what the libraries say of a loading: `missing_keys`, `unexpected_keys`, `mismatched_keys`.

    Raises:
        UserError: naming the file and the first such weight.
    """
    where = f"model '{name}': " + (f"the weights of its '{part}'" if part else "its weights")
    where += f" ({files[0]})" if files else ""
    for word in ("missing", "unexpected", "mismatched"):
        keys = sorted(str(key) for key in report.get(f"{word}_keys") or ())
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise UserError(f"{where} do not fit its config: {word} {keys[0]}{more}")
    for key, weight in network.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise UserError(f"{where} are no numbers in {key}; download it again")
