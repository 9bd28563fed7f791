"""A network's weights: which of a folder's files hold them, and whether they are all there and numbers.

Safetensors alone are read: a pickle can run any code when it is opened.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.errors import UserError

#: Weights that downloads often hold in place of the plain ones, the preferred first; they are cast anyway.
VARIANTS = ("fp16", "bf16", "non_ema")
#: Endings of files that may run code when they are read.
PICKLES = (".bin", ".pt", ".ckpt", ".pth")
_WEIGHTS = re.compile(r"(?:diffusion_pytorch_model|model)(?:\.(?P<variant>\w+))?(?:-\d+-of-\d+)?\.safetensors")


def variants_to_try(name: str, folder: Path | None) -> Iterator[str | None]:
    """The words for `from_pretrained(variant=...)` in the order in which they are worth trying.

    Args:
        folder: a network's own, such as MODEL/unet; None for one on the hub, whose files are not known.

    Raises:
        UserError: the folder holds no weights, or pickled ones only.
    """
    if folder is None:
        yield from (None, *VARIANTS)
        return
    if files := weights_files(folder):
        match = _WEIGHTS.fullmatch(files[0].name)
        yield match["variant"] if match else None
        return
    for file in sorted(folder.glob("*")):
        refuse_pickle(file, f"model '{name}': ")
    raise UserError(f"model '{name}': {folder} holds no weights (*.safetensors)")


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
    of_variant: dict[str | None, list[Path]] = {}
    for file in sorted(folder.glob("*.safetensors")) if folder else []:
        if match := _WEIGHTS.fullmatch(file.name):
            of_variant.setdefault(match["variant"], []).append(file)
    order = [None, *VARIANTS, *sorted(filter(None, of_variant))]
    return next((of_variant[variant] for variant in order if variant in of_variant), [])


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
