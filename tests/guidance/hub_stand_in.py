"""A hub of one model on this machine, and the local cache that it fills, in place of huggingface.co."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from huggingface_hub import close_session

HUB_ID = "somebody/some-model"
COMMIT = "1" * 40


class Hub(BaseHTTPRequestHandler):
    """Answers as the hub does to what its library asks of a public model."""

    def __init__(self, folder: Path, *rest: object) -> None:
        self.folder = folder
        super().__init__(*rest)  # pyright: ignore[reportArgumentType]

    def do_GET(self) -> None:
        """A file, the list of all, or that there is none."""
        path = self.path.partition("?")[0]
        if path.startswith(f"/api/models/{HUB_ID}/tree/"):
            names = [file.relative_to(self.folder).as_posix() for file in self.folder.rglob("*") if file.is_file()]
            listed = [{"type": "file", "path": name, "size": 1, "oid": "0" * 40} for name in names]
            self._answer(200, json.dumps(listed).encode())
        elif f"/{HUB_ID}/" not in path:
            self._answer(404, b"", **{"X-Error-Code": "RepoNotFound"})
        elif (file := self.folder / path.partition("/resolve/")[2].partition("/")[2]).is_file():
            content = file.read_bytes()
            self._answer(200, content, ETag=sha256(content).hexdigest(), **{"X-Repo-Commit": COMMIT})
        else:
            self._answer(404, b"", **{"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})

    def do_HEAD(self) -> None:
        """The same without the content."""
        self.do_GET()

    def _answer(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing to standard error."""


@contextmanager
def hub_of(folder: Path, cache: Path, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Within this block the hub has this folder as its one model, and the local cache is another folder."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, folder)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        patch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        patch.setattr(
            "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
            f"http://127.0.0.1:{server.server_port}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
        )
        patch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
        close_session()
        try:
            yield
        finally:
            close_session()
            server.shutdown()


def cached(folder: Path, cache: Path) -> Path:
    """The same model as the local cache holds it once it has been fetched whole; gives the folder of its files."""
    place = cache / f"models--{HUB_ID.replace('/', '--')}"
    snapshot = place / "snapshots" / COMMIT
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(folder)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(COMMIT)
    return snapshot
