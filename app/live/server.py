"""The web server of the live page: viser's own, behind a door that asks who comes in.

viser serves one HTML page and a websocket, to whoever reaches its port. The door adds, for both:

- bound to this machine, only requests that call it by this machine's name are answered, and a websocket only for a page
  that came from here: no web site that happens to be open in the same browser can steer a run;
- bound to anything else, whoever comes shows the token that stands in the address, once; a cookie remembers it;
- messages, uploads and the number of visitors are limited; who sends more than a training can bear is read later;
- nobody can have viser open a tunnel to the outside.

viser has no hook for this, so the door is put in where it starts its server (version 1.1.1, pinned).
"""

import asyncio
import hmac
import http
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from core.errors import MachineError, UserError

DEFAULT_PORT = 8080
LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
MOST_VISITORS = 64
#: Of one message from a browser, in bytes; files come in pieces of half a mebibyte.
LONGEST_MESSAGE = 2**21
#: Of one file that a visitor sends, in bytes.
LARGEST_UPLOAD = 50 * 2**20
#: That it comes in.
MOST_PARTS = 1000
#: Before it is asked again whether those who were told to wait may go on, in seconds.
HELD_BACK_S = 0.05


class Door:
    """Decides who may come in, by the headers of a request."""

    def __init__(self, host: str, port: int) -> None:
        self.is_local = host in LOCAL_HOSTS
        self.token = "" if self.is_local else secrets.token_urlsafe(24)
        self._cookie = f"live-{port}"  # cookies are shared by all ports of a host
        self._port = port

    def refusal(self, path: str, headers: Any) -> str | None:
        """Why a request is turned away, or None."""
        host = headers.get("Host", "")
        if self.is_local and urlsplit(f"//{host}").hostname not in LOCAL_HOSTS:
            return "this page is for this machine alone; --live-host opens it to others"
        origin = headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return "another site's page may not come in here"
        if not self.is_local and not (self._has_token(path) or self._has_cookie(headers)):
            return "the address needs its token: http://...?token=..., as the command printed it"
        return None

    def cookie(self, path: str) -> str | None:
        """What to set for a visitor who came with the token in the address."""
        if self.is_local or not self._has_token(path):
            return None
        return f"{self._cookie}={self.token}; HttpOnly; SameSite=Strict; Path=/"

    def _has_token(self, path: str) -> bool:
        given = parse_qs(urlsplit(path).query).get("token", [""])[0]
        return hmac.compare_digest(given.encode(), self.token.encode())

    def _has_cookie(self, headers: Any) -> bool:
        pieces = [piece.strip() for line in headers.get_all("Cookie") for piece in line.split(";")]
        return any(hmac.compare_digest(piece.encode(), f"{self._cookie}={self.token}".encode()) for piece in pieces)


class LiveServer:
    """viser behind the door, on an address that can be printed.

    Raises:
        MachineError: viser is not installed, or the port cannot be had.
        UserError: the host is no address of this machine.
    """

    def __init__(self, host: str = "127.0.0.1", port: int | None = None) -> None:
        try:
            import viser
        except ImportError:
            raise MachineError("--live needs viser: pip install -r requirements-live.txt") from None
        port = free_port(host, port)
        self.door = Door(host, port)
        self.holds_back: Callable[[], bool] = lambda: False
        """Asked before a message of a visitor is read: whether those who send have to wait."""
        with _quiet(), _guarded(self):
            self.viser = viser.ViserServer(host=host, port=port, label="latent-nerf", verbose=False)
        self._close_side_doors()
        shown = socket.gethostname() if host in ("0.0.0.0", "::") else host
        shown = f"[{shown}]" if ":" in shown else shown
        self.address = f"http://{shown}:{port}/" + ("" if self.door.is_local else f"?token={self.door.token}")
        self._seconds_before = 0.0

    def close(self) -> None:
        """Hang up on all visitors."""
        with _quiet():
            self.viser.stop()

    def limit_uploads(self, gui: Any) -> None:
        """Refuse what is larger than allowed, before its pieces fill the memory."""
        from viser import _messages

        connection, states = gui._websock_interface, gui._current_file_upload_states

        def begin(client_id: Any, message: Any) -> None:
            largest = min(LARGEST_UPLOAD, max(0, message.size_bytes))
            if message.size_bytes == largest and message.part_count <= MOST_PARTS and len(states) < 2:
                gui._handle_file_transfer_start(client_id, message)

        def go_on(client_id: Any, message: Any) -> None:
            state = states.get(message.transfer_uuid)
            if state is None:
                return
            if state["transferred_bytes"] + len(message.content) > state["total_bytes"]:
                del states[message.transfer_uuid]
            else:
                gui._handle_file_transfer_part(client_id, message)

        for kind, handler in ((_messages.FileTransferStartUpload, begin), (_messages.FileTransferPart, go_on)):
            connection.unregister_handler(kind)
            connection.register_handler(kind, handler)

    def seconds_worked(self) -> float:
        """Processor seconds that the server's thread has taken since this was last asked."""
        thread = self.viser._websock_server._server_thread
        clock_of = getattr(time, "pthread_getcpuclockid", None)  # macOS has none
        if clock_of is None or thread is None or thread.ident is None:
            return 0.0
        seconds = time.clock_gettime(clock_of(thread.ident))
        since, self._seconds_before = seconds - self._seconds_before, seconds
        return since

    def _close_side_doors(self) -> None:
        """viser lets every visitor ask for a public address of the page, which a server elsewhere gives."""
        from viser import _messages

        for kind in (_messages.ShareUrlRequest, _messages.ShareUrlDisconnect):
            self.viser._websock_server.unregister_handler(kind)
        self.viser.gui.configure_theme(show_share_button=False, show_logo=False, control_width="large")


def free_port(host: str, port: int | None) -> int:
    """The port itself, or the first free one from 8080 on.

    Raises:
        UserError: the host is no address of this machine.
        MachineError: the port is taken.
    """
    try:
        family = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][0]
    except (OSError, UnicodeError):
        raise UserError(f"--live-host {host}: no address of this machine; 127.0.0.1 or 0.0.0.0 is usual") from None
    ports = range(DEFAULT_PORT, DEFAULT_PORT + 100) if port is None else [port]
    for each in ports:
        with socket.socket(family, socket.SOCK_STREAM) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind((host, each))
            except (OSError, OverflowError):
                continue
            return tried.getsockname()[1]
    if port is None:
        raise MachineError(
            f"--live-host {host}: not an address of this machine, or all ports from {ports[0]} are taken"
        )
    raise MachineError(
        f"--live {port}: this port cannot be had on {host}; choose another, or leave it out for a free one"
    )


@contextmanager
def _guarded(server: LiveServer) -> Iterator[None]:
    """Within this block, a websocket server that is started gets the door in front of it."""
    import websockets.asyncio.server as library

    start = library.serve

    class PatientConnection(library.ServerConnection):
        """Reads nothing more while visitors have to wait: then the browser, which cannot send, waits too."""

        async def recv(self, decode: bool | None = None) -> Any:
            message = await super().recv(decode)
            while server.holds_back():
                await asyncio.sleep(HELD_BACK_S)
            return message

    def serve(handler: Any, host: str, port: int, *, process_request: Any, **settings: Any) -> Any:
        ours = {"process_request": _behind(server.door, process_request), "create_connection": PatientConnection}
        return start(handler, host, port, **{**settings, **ours, "max_size": LONGEST_MESSAGE})

    library.serve = serve  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        library.serve = start  # pyright: ignore[reportAttributeAccessIssue]


def _behind(door: Door, process_request: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    n_open = threading.Semaphore(MOST_VISITORS)

    def process(connection: Any, request: Any) -> Any:
        """What websockets asks before it takes a request: an answer of ours, or None for a websocket to be opened."""
        if reason := door.refusal(request.path, request.headers):
            return connection.respond(http.HTTPStatus.FORBIDDEN, f"Not here: {reason}.\n")
        if request.headers.get("Upgrade", "").lower() == "websocket":
            if not n_open.acquire(blocking=False):
                return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, "Too many visitors; come again later.\n")
            connection.connection_lost_waiter.add_done_callback(lambda _: n_open.release())
        response = process_request(connection, request)
        if response is not None:
            response.headers["Referrer-Policy"] = "no-referrer"
            if cookie := door.cookie(request.path):
                response.headers["Set-Cookie"] = cookie
        return response

    return process


@contextmanager
def _quiet() -> Iterator[None]:
    """viser greets and takes its leave on the terminal."""
    import rich

    console = rich.get_console()
    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before
