"""A torchvision that does not fit torch is hidden from the libraries that would import it.

Nothing here needs it, and an installation made for another torch is common. Its import fails with "operator
torchvision::nms does not exist", and with it that of Lightning, which imports it wherever it finds it.
"""

import importlib
import sys
import warnings
from importlib.metadata import Distribution, PackageNotFoundError
from importlib.util import find_spec
from typing import Any

NAME = "torchvision"


def hide_misfits() -> None:
    """Look whether torchvision can be imported where there is one; else let it be as if it were not installed."""
    if NAME in sys.modules or find_spec(NAME) is None:
        return
    try:
        importlib.import_module(NAME)
    except Exception as error:  # whatever the broken package runs into
        reason = " ".join(str(error).split())[:200]
        warnings.warn(f"{NAME} does not fit this torch and is left aside ({reason})", stacklevel=2)
        for name in [name for name in sys.modules if name.split(".")[0] == NAME]:
            del sys.modules[name]
        sys.modules[NAME] = None  # pyright: ignore[reportArgumentType] - Python's way to say that there is none
        _hide_version()


def _hide_version() -> None:
    """Lightning believes the version that pip has written down, and does not look whether the package works."""
    known = Distribution.from_name

    def from_name(name: str) -> Any:
        if name.lower() == NAME:
            raise PackageNotFoundError(name)
        return known(name)

    Distribution.from_name = from_name  # pyright: ignore[reportAttributeAccessIssue]
