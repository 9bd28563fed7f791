"""A visitor without a browser: speaks viser's protocol over a websocket, and keeps what it is shown.

A frame from the server is [8 bytes: size][8 bytes: size when packed][msgpack, packed by zstd][raw arrays]; one to the
server is msgpack alone.
"""

import threading
import time
from typing import Any

import msgspec.msgpack
import viser
import zstandard
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

PATIENCE_S = 300.0


class Robot:
    """One connection; use as a context."""

    def __init__(self, address: str, **headers: str) -> None:
        protocol = Subprotocol(f"viser-v{viser.__version__}")
        self.connection = connect(
            address.replace("http://", "ws://"), subprotocols=[protocol], additional_headers=headers, max_size=None
        )
        self.widgets: dict[str, dict[str, Any]] = {}
        self.messages: list[dict[str, Any]] = []
        self.n_pictures = 0
        self.picture = b""
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> "Robot":
        self._reader.start()
        self.look_from(0.0, 0.3, 1.8)
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def send(self, kind: str, **content: Any) -> None:
        """A message of viser's."""
        self.connection.send(msgspec.msgpack.encode({"type": kind, **content}))

    def look_from(self, x: float, y: float, z: float) -> None:
        """Stand somewhere; what the camera's rotation says is not checked by anybody."""
        self.send(
            "ViewerCameraMessage",
            wxyz=(0.0, 1.0, 0.0, 0.0),  # half a turn about x: OpenCV's camera that looks along -z
            position=(x, y, z),
            fov=0.8,
            near=0.01,
            far=100.0,
            image_height=300,
            image_width=400,
            look_at=(0.0, 0.0, 0.0),
            up_direction=(0.0, 1.0, 0.0),
        )

    def widget(self, label: str) -> dict[str, Any]:
        """The widget with this label, once it is there."""
        end = time.monotonic() + PATIENCE_S
        while True:
            for widget in reversed(list(self.widgets.values())):
                if widget.get("label") == label:
                    return widget
            assert time.monotonic() < end, (
                f"no widget '{label}' among {[w.get('label') for w in self.widgets.values()]}"
            )
            time.sleep(0.05)

    def set(self, label: str, value: Any) -> None:
        """Type into a field, choose in a list."""
        self.send("GuiUpdateMessage", uuid=self.widget(label)["uuid"], updates={"value": value})

    def press(self, label: str) -> None:
        """Click a button."""
        self.set(label, True)

    @property
    def text(self) -> str:
        """All that is written on the page."""
        return "\n".join(str(widget.get("_markdown", "")) for widget in list(self.widgets.values()))

    @property
    def notes(self) -> list[str]:
        """Notifications, title and text."""
        shown = [each["props"] for each in list(self.messages) if each["type"].startswith("Notification")]
        return [f"{props['title']}: {props['body']}" for props in shown]

    def downloads(self) -> dict[str, bytes]:
        """Files that were sent, by name, as far as they are whole."""
        messages = list(self.messages)
        started = [each for each in messages if each["type"] == "FileTransferStartDownload"]
        files = {}
        for start in started:
            parts = {
                each["part_index"]: each["content"]
                for each in messages
                if each["type"] == "FileTransferPart" and each["transfer_uuid"] == start["transfer_uuid"]
            }
            if len(parts) == start["part_count"]:
                files[start["filename"]] = b"".join(parts[i] for i in range(len(parts)))
        return files

    def _read(self) -> None:
        while True:
            try:
                frame = self.connection.recv()
            except (ConnectionClosed, OSError):
                return
            assert isinstance(frame, bytes)
            size = int.from_bytes(frame[8:16], "little")
            content = msgspec.msgpack.decode(zstandard.ZstdDecompressor().decompress(frame[16 : 16 + size]))
            for message in content["messages"]:
                self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "BackgroundImageMessage":
            self.n_pictures += 1
            self.picture = message["rgb_data"] or b""
        elif kind == "GuiUpdateMessage" and message["uuid"] in self.widgets:
            self.widgets[message["uuid"]].update(message["updates"])
        elif kind == "GuiRemoveMessage":
            self.widgets.pop(message["uuid"], None)
        elif "uuid" in message and "props" in message and kind.startswith("Gui"):
            value = {"value": message["value"]} if "value" in message else {}
            self.widgets[message["uuid"]] = {"uuid": message["uuid"], **message["props"], **value}
        else:
            self.messages.append(message)
