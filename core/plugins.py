"""Users' own parts: Python files that a recipe names under `plugins:`, or the command line with --plugin."""

import importlib.util
import sys
from hashlib import sha256
from pathlib import Path

from core.errors import PluginError, UserError


def load_plugin(path: Path) -> None:
    """Run a Python file, whose parts register themselves; a file that was loaded before is left alone.

    Raises:
        UserError: no such file.
        PluginError: the file fails, with its own error (and traceback) as the cause.
    """
    path = path.resolve()
    if not path.is_file():
        raise UserError(f"{path}: no such plugin; --plugin takes a Python file with parts, see examples/my_field.py")
    name = f"plugin_{path.stem}_{sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path}: not a Python file; a plugin ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        own = error.__traceback__
        while own is not None and own.tb_frame.f_code.co_filename != str(path):
            own = own.tb_next
        cause = error.with_traceback(own)
        raise PluginError(f"{path}: the plugin failed to load: {error}") from cause
