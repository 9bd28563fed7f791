"""A network's weights: which of a folder's files hold them, and whether they are all there and numbers.

Safetensors alone are read: a pickle can run any code when it is opened.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.errors import UserError

#: Weights that downloads often hold in place of the plain ones, the preferred first; they are cast anyway.
VARIANTS = ("fp16", "bf16", "non_ema")
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
    files = [path.name for path in sorted(folder.glob("*"))] if folder.is_dir() else []
    found = {match["variant"] for file in files if (match := _WEIGHTS.fullmatch(file))}
    known = [variant for variant in (None, *VARIANTS) if variant in found]
    if known or found:
        yield from known[:1] or sorted(filter(None, found))[:1]
        return
    pickles = [file for file in files if file.endswith((".bin", ".pt", ".ckpt", ".pth"))]
    if pickles:
        raise UserError(
            f"model '{name}': {folder / pickles[0]} is a pickle, which may run code when it is read. Convert it where "
            "you trust it: `pipeline.save_pretrained(FOLDER, safe_serialization=True)` of diffusers"
        )
    raise UserError(f"model '{name}': {folder} holds no weights (*.safetensors)")


def check_weights(name: str, part: str, network: nn.Module, report: dict[str, Any]) -> None:
    """Refuse a network that would guide with chance: weights that its files lack, or that are no numbers.

    Args:
        report: what the libraries say of a loading: `missing_keys`, `unexpected_keys`, `mismatched_keys`.

    Raises:
        UserError: naming the part and the first such weight.
    """
    for word in ("missing", "unexpected", "mismatched"):
        keys = sorted(str(key) for key in report.get(f"{word}_keys") or ())
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise UserError(
                f"model '{name}': the weights of its '{part}' do not fit its config: {word} {keys[0]}{more}"
            )
    for key, weight in network.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise UserError(f"model '{name}': the weights of its '{part}' are no numbers in {key}; download it again")
