"""A training step stays easy to follow: few of our files, few calls between them."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).parents[2]
FLOORS = ("core", "geometry", "guidance", "renderers", "systems")


def _calls_between_files(action: Callable[[], Any]) -> list[tuple[str, str]]:
    """(calling file, called file) of each call from one of our files into another, straight or through a library."""
    ours = {str(ROOT / floor) for floor in FLOORS}
    stack: list[str] = []
    calls: list[tuple[str, str]] = []

    def own(frame: FrameType) -> str | None:
        path = frame.f_code.co_filename
        is_ours = any(path.startswith(f"{folder}/") for folder in ours)
        return path.removeprefix(f"{ROOT}/") if is_ours else None

    def watch(frame: FrameType, event: str, _: Any) -> None:
        path = own(frame)
        if path is None or frame.f_code.co_name.startswith("<"):  # comprehensions are no calls
            return
        if event == "call":
            if stack and stack[-1] != path:
                calls.append((stack[-1], path))
            stack.append(path)
        elif event == "return" and stack:
            stack.pop()

    sys.setprofile(watch)
    try:
        action()
    finally:
        sys.setprofile(None)
    return calls


_MEASURE = """
import json, sys
from pathlib import Path
sys.path.insert(0, {root!r})
"""
