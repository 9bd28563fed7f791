"""Users' own parts: Python files that a recipe names under `plugins:`, or the command line with --plugin.

A plugin is a program: loading one runs it. Which ones are loaded unasked: those of the command line and of the recipe
that it names. A run may come from somebody else, and so may a recipe that belongs to another user: what these name is
run only if it has been loaded on this account before (its digest is remembered), or after --trust.
"""

import os
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from types import ModuleType

from core.errors import PluginError, UserError

#: Where a loaded module has the digest of its file.
DIGEST = "__sha256__"


def load_plugin(path: Path) -> None:
    """Run a Python file, whose parts register themselves; a file that was loaded before is left alone.

    Raises:
        UserError: no such file.
        PluginError: the file fails, with its own error (and traceback) as the cause.
    """
    path = path.resolve()
    content = _content(path)
    name = _module_name(path)
    if name in sys.modules:
        return
    # Python's own loader would run a compiled file of __pycache__ in place of the one that was looked at.
    module = ModuleType(name)
    module.__file__ = str(path)
    module.__dict__[DIGEST] = digest = sha256(content).hexdigest()
    sys.modules[name] = module
    try:
        exec(compile(content, str(path), "exec"), module.__dict__)
    except Exception as error:
        del sys.modules[name]
        own = error.__traceback__
        while own is not None and own.tb_frame.f_code.co_filename != str(path):
            own = own.tb_next
        cause = error.with_traceback(own)
        raise PluginError(f"{path}: the plugin failed to load: {error}") from cause
    _remember(digest, path)


def require_trust(plugins: Sequence[Path], recipe: Path) -> None:
    """Refuse plugins that a stranger's recipe names, unless they have been loaded on this account before.

    Those that run in this process already may: without a home, a second stage reads the recipe of the first.

    Raises:
        UserError: listing those that have not.
    """
    known = _remembered()
    digests = [(path, sha256(_content(path)).hexdigest()) for path in plugins]
    new = [(path, digest) for path, digest in digests if digest not in known and digest != _digest_in_use(path)]
    if new:
        named = ", ".join(f"{path} (sha256 {digest[:12]})" for path, digest in new)
        raise UserError(f"{recipe}: would run Python code that is not trusted here yet: {named}; read it, then --trust")


def is_foreign(recipe: Path) -> bool:
    """Whether a recipe may be somebody else's: one that lies in a run's folder, or belongs to another user."""
    folder = recipe.parent
    if (folder / "checkpoints").is_dir() or (folder / "prompt.txt").exists():
        return True
    return recipe.exists() and recipe.stat().st_uid not in (0, os.getuid())


def _module_name(path: Path) -> str:
    return f"plugin_{path.stem}_{sha256(str(path.resolve()).encode()).hexdigest()[:8]}"


def _digest_in_use(path: Path) -> str | None:
    """Of the file as it was when this process ran it."""
    return getattr(sys.modules.get(_module_name(path)), DIGEST, None)


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise UserError(f"{path}: no such plugin; --plugin takes a Python file with parts, see examples/my_field.py")
    if path.suffix != ".py":
        raise UserError(f"{path}: not a Python file; a plugin ends in .py")
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: the plugin cannot be read: {error.strerror}") from error


def _list() -> Path | None:
    """Where digests of loaded plugins are kept ($XDG_STATE_HOME, else ~/.local/state); None without a home."""
    try:
        state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    except RuntimeError:
        return None
    return state / "latent-nerf" / "trusted-plugins.txt"


def _remembered() -> set[str]:
    try:
        path = _list()
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path else []
    except OSError:
        return set()
    return {line.split(" ", 1)[0] for line in lines}


def _remember(digest: str, path: Path) -> None:
    """Add a plugin to the list, where it can be written; else --trust has to be given each time."""
    place = _list()
    if place is None or digest in _remembered():
        return
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with place.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{digest}  {str(path)!r}\n")
    except OSError:
        return
