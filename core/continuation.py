"""Trained tensors of another run's part are copied once part and settings are known to be the same.

Tensors of equal shape are no proof: a field with another `bound` is the same tensors read at other places.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn

from core.errors import UserError, first_misfit
from core.part import Part
from core.setting_paths import plain


def copy_trained(mine: Part, theirs: Part, free: Sequence[str]) -> None:
    """Take parameters and buffers of a part that another run has trained.

    Args:
        free: endings of the names of settings that may differ: how it is trained or computed, not what it is.

    Raises:
        UserError: another part, or settings that differ, which are named as they are to be given.
    """
    where = f"--from: the run does not fit {mine.recipe_path or mine.kind} of this recipe"
    if type(mine) is not type(theirs):
        raise UserError(f"{where}: it has trained a '{theirs.part_name}', not a '{mine.part_name}'")
    here, there = (dict(flat_settings(plain(getattr(part, "config", None)))) for part in (mine, theirs))
    differing = [key for key in {**there, **here} if not key.endswith(tuple(free)) and here.get(key) != there.get(key)]
    if differing:
        difference = ", ".join(f"{key} is {there.get(key)} there and {here.get(key)} here" for key in differing)
        given = " ".join(f"{mine.setting(key)}={there.get(key)}" for key in differing)
        raise UserError(f"{where}: {difference}; give {given}")
    assert isinstance(mine, nn.Module)
    assert isinstance(theirs, nn.Module)
    try:
        mine.load_state_dict(theirs.state_dict())
    except RuntimeError as error:
        raise UserError(f"{where}: {first_misfit(error)}") from error


def flat_settings(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting of a plain tree by its path."""
    if not isinstance(tree, dict):
        yield prefix, tree
        return
    for key, item in tree.items():
        yield from flat_settings(item, f"{prefix}.{key}" if prefix else str(key))
