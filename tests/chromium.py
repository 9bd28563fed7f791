"""A headless Chromium that shows one page and tells what it did: spoken to through pipes, without further packages.

Source: Chrome DevTools Protocol, --remote-debugging-pipe: messages are JSON ended by a zero byte, in on descriptor 3
and out on descriptor 4.
"""

import base64
import io
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# A software renderer draws WebGL where there is no GPU; nothing but the page may use the network.
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--hide-scrollbars",
    "--mute-audio",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--window-size=1200,900",
    "--remote-debugging-pipe",
]


def find_chromium() -> str | None:
    """Its path, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """One open page and all that it has said since it was opened."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._unread = b""
        self._last_id = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []

    def open(self, url: str) -> None:
        """Show a URL, listening from its first moment."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Runtime", "Log", "Network", "Page"):
            self.ask(f"{domain}.enable")
        self.ask("Page.navigate", url=url)

    def ask(self, method: str, timeout_s: float = 60.0, **parameters: Any) -> dict[str, Any]:
        """Call a method and wait for its answer; events that come meanwhile are kept."""
        self._last_id += 1
        message = {"id": self._last_id, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + timeout_s
        while True:
            answer = self._read(end)
            if answer.get("id") == self._last_id:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.events.append(answer)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        return self.ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def wait_for(self, expression: str, wanted: Any, timeout_s: float = 60.0) -> None:
        """Until an expression has a value."""
        end = time.monotonic() + timeout_s
        while (value := self.evaluate(expression)) != wanted:
            assert time.monotonic() < end, f"{expression} is {value!r} after {timeout_s} s, not {wanted!r}"
            time.sleep(0.1)

    def picture(self, element: str | None = None) -> NDArray[np.uint8]:
        """A screenshot of an element (a CSS selector), or of the whole page."""
        place = "document.documentElement" if element is None else f"document.querySelector({json.dumps(element)})"
        box = self.evaluate(
            f"(b => ({{x: b.x + scrollX, y: b.y + scrollY, width: b.width, height: b.height}}))"
            f"({place}.getBoundingClientRect())"
        )
        shot = self.ask("Page.captureScreenshot", clip={**box, "scale": 1}, captureBeyondViewport=True)
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB"))

    def drag(self, element: str, across: int) -> None:
        """Press in an element's middle, move to the right, let go."""
        box = self.evaluate(
            f"(b => [b.x + b.width / 2, b.y + b.height / 2])"
            f"(document.querySelector({json.dumps(element)}).getBoundingClientRect())"
        )
        for kind, shift in (("mousePressed", 0), ("mouseMoved", across / 2), ("mouseMoved", across)):
            self.ask("Input.dispatchMouseEvent", type=kind, x=box[0] + shift, y=box[1], button="left", clickCount=1)
        self.ask("Input.dispatchMouseEvent", type="mouseReleased", x=box[0] + across, y=box[1], button="left")

    def save_downloads(self, folder: Path) -> None:
        """Let the page save files in a folder."""
        self.ask("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))

    @property
    def faults(self) -> list[str]:
        """Errors on the console, uncaught exceptions, entries of the log at error level."""
        found = []
        for event in self.events:
            name, given = event.get("method"), event.get("params", {})
            if name == "Runtime.exceptionThrown":
                found.append(str(given["exceptionDetails"]))
            elif name == "Runtime.consoleAPICalled" and given["type"] in ("error", "assert"):
                found.append(str(given["args"]))
            elif name == "Log.entryAdded" and given["entry"]["level"] == "error":
                found.append(given["entry"]["text"])
        return found

    @property
    def requests(self) -> list[str]:
        """All URLs that the page asked for."""
        asked = [event["params"] for event in self.events if event.get("method") == "Network.requestWillBeSent"]
        return [given["request"]["url"] for given in asked]

    def _read(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._from], [], [], max(0.0, end - time.monotonic()))
            assert ready, "Chromium does not answer"
            self._unread += os.read(self._from, 2**20)
        message, self._unread = self._unread.split(b"\0", 1)
        return json.loads(message)


@contextmanager
def chromium_page(browser: str, place: Path | str) -> Iterator[Page]:
    """A file, opened as by a double click; or a URL."""
    commands_out, commands_in = os.pipe()
    answers_out, answers_in = os.pipe()
    shell = f'exec "$@" 3<&{commands_out} 4>&{answers_in}'
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            ["bash", "-c", shell, "bash", browser, *FLAGS, f"--user-data-dir={profile}"],
            pass_fds=(commands_out, answers_in),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands_out)
        os.close(answers_in)
        try:
            page = Page(commands_in, answers_out)
            page.open(place if isinstance(place, str) else place.resolve().as_uri())
            yield page
        finally:
            process.kill()
            process.wait()
            os.close(commands_in)
            os.close(answers_out)
