"""A training with its page, in a process of its own, and what a visitor does there."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.chromium import Page

ROOT = Path(__file__).parents[3]
#: Long: the machine may be busy with other tests.
PATIENCE_S = 300.0


class Command:
    """launch.py in a process of its own, and the address that it has printed."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process, self.log = process, log

    @property
    def text(self) -> str:
        """What it has printed until now."""
        return self.log.read_text()

    def address(self) -> str:
        """Of its page, once it is there."""
        return self.wait_for(r"Live at (http://\S+)")

    def wait_for(self, pattern: str, timeout_s: float = PATIENCE_S) -> str:
        """The first group of a pattern, once it is printed."""
        end = time.monotonic() + timeout_s
        while (found := re.search(pattern, self.text)) is None:
            assert self.process.poll() is None, f"the command has ended: {self.text}"
            assert time.monotonic() < end, f"no {pattern} in {self.text}"
            time.sleep(0.1)
        return found[1] if found.groups() else found[0]

    def interrupt(self) -> int:
        """Ctrl-C; gives the exit code."""
        self.process.send_signal(2)
        return self.process.wait(PATIENCE_S)


@contextmanager
def launched(arguments: Sequence[str | Path], folder: Path) -> Iterator[Command]:
    """A command that runs until the block ends."""
    log = folder / "log.txt"
    words = [sys.executable, ROOT / "launch.py", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    with log.open("w") as out:
        process = subprocess.Popen(words, stdout=out, stderr=out, text=True, env=environment, cwd=folder)
        try:
            yield Command(process, log)
        finally:
            process.kill()
            process.wait()


def figures(page: Page) -> str:
    """All text of the page."""
    return page.evaluate("document.body.innerText") or ""


def step_of(page: Page) -> int:
    """Steps that are done, as the page says."""
    found = re.search(r"step (\d+) of", figures(page))
    return int(found[1]) if found else -1


def until(holds: object, what: str, timeout_s: float = PATIENCE_S) -> None:
    """Wait until a function gives something true."""
    assert callable(holds)
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end, f"after {timeout_s:.0f} s: {what}"
        time.sleep(0.2)


def press(page: Page, label: str) -> None:
    """Click the button with this text."""
    found = f"[...document.querySelectorAll('button')].find(each => each.innerText.trim() === {json.dumps(label)})"
    until(lambda: page.evaluate(f"!!{found}"), f"there is no button '{label}'")
    page.evaluate(f"{found}.click()")


def set_text(page: Page, label: str, value: str) -> None:
    """Type into the field behind a label, and leave it."""
    field = f"document.querySelector({json.dumps(f'[data-live-field={label}]')})"
    page.evaluate(MARK_FIELDS)
    until(lambda: page.evaluate(f"!!{field}"), f"there is no field '{label}'")
    page.evaluate(
        f"""(field => {{
            const kind = field.tagName === 'TEXTAREA' ? HTMLTextAreaElement : HTMLInputElement;
            field.focus();
            Object.getOwnPropertyDescriptor(kind.prototype, 'value').set.call(field, {json.dumps(value)});
            field.dispatchEvent(new Event('input', {{bubbles: true}}));
            field.dispatchEvent(new Event('change', {{bubbles: true}}));
            field.blur();
        }})({field})"""
    )


def object_pixels(page: Page) -> NDArray[np.float64]:
    """Luminance of the part of the canvas where the object is; the panel is on the right."""
    canvas = page.picture("canvas").astype(np.float64)
    height, width, _ = canvas.shape
    return canvas[height // 4 : 3 * height // 4, width // 4 : 5 * width // 8] @ np.array([0.299, 0.587, 0.114])


#: Name each input by the words of the label beside it.
MARK_FIELDS = """
for (const input of document.querySelectorAll('input, textarea')) {
    let row = input;
    for (let i = 0; i < 6 && row; i++) {
        row = row.parentElement;
        const label = row && row.querySelector('label');
        if (label) { input.setAttribute('data-live-field', label.innerText.trim()); break; }
    }
}
"""
