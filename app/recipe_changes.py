"""Whether a run goes on exactly as it began: what its recipe may say otherwise when it is resumed."""

import re
from pathlib import Path

from core.continuation import flat_settings
from core.errors import UserError
from core.paths import map_paths
from core.recipe import Recipe
from core.setting_paths import plain

#: Settings that change nothing of what the steps compute. Another backend is refused where its tensors differ.
_FREE = re.compile(
    r"prompt|plugins|exporters|.*\.backend"
    r"|trainer\.(max_steps|logger|preview_every|n_preview_views|checkpoint_every|checkpoint_minutes)(\..*)?"
)


def refuse_changes(folder: Path, before: Recipe, now: Recipe, is_allowed: bool) -> None:
    """Refuse to go on with a run by another recipe.

    Args:
        before: what the run was trained by so far; the prompt is compared elsewhere.
        is_allowed: take what can still take effect: all but what a training begins with.

    Raises:
        UserError: one line for each setting that differs, with both values.
    """
    theirs, ours = (dict(flat_settings(plain(map_paths(each, _resolved)))) for each in (before, now))
    differing = [key for key in {**theirs, **ours} if theirs.get(key) != ours.get(key) and not _FREE.fullmatch(key)]
    begun = [key for key in differing if key == "start_from"]
    if is_allowed and not begun:
        return
    lines = [f"{key}: {theirs.get(key)} in {folder}, {ours.get(key)} here" for key in differing]
    if begun:
        lines.append("--from: a run begins once; leave it out, or start a new run")
    elif lines:
        lines.append(
            "--resume goes on exactly: leave the changes out, start a new run, or take them with --allow-changed"
        )
    if lines:
        raise UserError("\n".join(lines))


def _resolved(key: str, value: object) -> object:
    return value.resolve() if isinstance(value, Path) else value
