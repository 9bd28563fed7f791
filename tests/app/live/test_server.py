"""The door of the live page: who gets in, what is served, and how much may be sent."""

import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("viser", reason="the live page needs requirements-live.txt")

from websockets.exceptions import InvalidStatus

from app.live.server import LARGEST_UPLOAD, LiveServer
from core.errors import UserError
from tests.app.live.robot import Robot


@pytest.fixture(scope="module")
def local() -> Iterator[LiveServer]:
    server = LiveServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def public() -> Iterator[LiveServer]:
    server = LiveServer("0.0.0.0")
    yield server
    server.close()


def base_of(server: LiveServer) -> str:
    return f"http://127.0.0.1:{server.viser.get_port()}"


def answer(url: str, **headers: str) -> tuple[int, str, dict[str, str]]:
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.read(1000).decode(errors="replace"), dict(response.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), dict(error.headers)


def test_the_page_is_served_on_this_machine_to_those_who_call_it_by_its_name(local: LiveServer) -> None:
    base = base_of(local)
    assert local.address.startswith("http://127.0.0.1:")
    assert answer(f"{base}/")[0] == 200
    assert answer(f"{base}/", Host="evil.example")[0] == 403, "a name that was made to point here"
    assert answer(f"{base}/", Origin="http://evil.example")[0] == 403
    with pytest.raises(ConnectionRefusedError), socket.create_connection((outer_address(), local.viser.get_port()), 5):
        pass


def outer_address() -> str:
    """This machine's address on its network, or another of its own loop where it has none."""
    try:
        address = socket.gethostbyname(socket.gethostname())
    except OSError:
        address = "127.0.0.2"
    return "127.0.0.2" if address.startswith("127.") else address


def test_another_sites_page_cannot_open_the_websocket(local: LiveServer) -> None:
    with Robot(base_of(local)):
        pass
    with pytest.raises(InvalidStatus, match="403"):
        Robot(base_of(local), Origin="http://evil.example")


def test_others_need_the_token_once(public: LiveServer) -> None:
    base, token = base_of(public), public.door.token
    assert len(token) >= 32
    assert public.address.endswith(f"/?token={token}")
    for url in (f"{base}/", f"{base}/?token=", f"{base}/?token={token[:-1]}", f"{base}/?token={token}x"):
        status, text, headers = answer(url)
        assert status == 403, url
        assert token not in text
        assert "Set-Cookie" not in headers
    status, _, headers = answer(f"{base}/?token={token}")
    assert status == 200
    assert "HttpOnly" in headers["Set-Cookie"]
    assert headers["Referrer-Policy"] == "no-referrer"
    cookie = headers["Set-Cookie"].split(";")[0]
    assert answer(f"{base}/", Cookie=f"other=1; {cookie}")[0] == 200
    with pytest.raises(InvalidStatus, match="403"):
        Robot(base)
    with Robot(base, Cookie=cookie):
        pass


@pytest.mark.parametrize(
    "path",
    ["/../../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/..%5c..%5cetc/passwd", "/app/cli.py"],
)
def test_nothing_but_the_page_is_served(local: LiveServer, path: str) -> None:
    with socket.create_connection(("127.0.0.1", local.viser.get_port()), 30) as raw:
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        reply = raw.recv(4000).decode(errors="replace")
    assert reply.split()[1] in ("400", "404")
    assert "root:" not in reply


def wait_until(holds: Callable[[], Any]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_file_larger_than_allowed_or_than_it_says_is_not_kept(local: LiveServer) -> None:
    taken: list[int] = []
    handles: list[Any] = []

    async def enter(client: Any) -> None:
        local.limit_uploads(client.gui)
        button = client.gui.add_upload_button("send")
        button.on_upload(lambda _: taken.append(len(button.value.content)))
        handles.append(client)

    local.viser.on_client_connect(enter)

    def send(robot: Robot, name: str, said: int, pieces: list[bytes], count: int) -> None:
        about = {"source_component_uuid": robot.widget("send")["uuid"], "transfer_uuid": name}
        robot.send(
            "FileTransferStartUpload", **about, filename="a.obj", mime_type="", part_count=count, size_bytes=said
        )
        for i, piece in enumerate(pieces):
            robot.send("FileTransferPart", **about, part_index=i, content=piece)

    with Robot(base_of(local)) as robot:
        robot.widget("send")
        send(robot, "large", LARGEST_UPLOAD + 1, [b"x"], 2)
        send(robot, "liar", 10, [b"x" * 1000, b"y" * 1000], 3)
        send(robot, "negative", -5, [b"x"], 1)
        send(robot, "endless", 5, [b"", b""], 10**9)
        send(robot, "good", 4, [b"ab", b"cd"], 2)
        wait_until(lambda: taken)
        assert taken == [4]
        assert handles[-1].gui._current_file_upload_states == {}, "nothing of the others is kept in memory"


def test_no_visitor_can_have_a_tunnel_opened(local: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(local.viser, "request_share_url", lambda *_: asked.append(1))
    with Robot(base_of(local)) as robot:
        robot.send("ShareUrlRequest")
        robot.send("ShareUrlDisconnect")
        time.sleep(1)
    assert asked == []


def test_those_who_have_to_wait_are_read_later_and_nothing_is_lost() -> None:
    server, places = LiveServer(), list[float]()

    async def enter(client: Any) -> None:
        async def moved(camera: Any) -> None:
            places.append(float(camera.position[0]))

        client.camera.on_update(moved)

    server.viser.on_client_connect(enter)
    try:
        with Robot(base_of(server)) as robot:
            wait_until(server.viser.get_clients)
            server.holds_back = lambda: True
            for i in range(1, 301):
                robot.look_from(float(i), 0.0, 0.0)
            time.sleep(1)
            assert len(places) <= 2, "what was being read when it began, and no more"
            server.holds_back = lambda: False
            wait_until(lambda: places[-1:] == [300.0])
            assert places[-300:] == [float(i) for i in range(1, 301)]
    finally:
        server.close()


def test_an_address_that_cannot_be_had_is_told_in_a_line(local: LiveServer) -> None:
    port = local.viser.get_port()
    with pytest.raises(UserError, match=rf"^--live {port}: this port cannot be had on 127\.0\.0\.1; choose another"):
        LiveServer(port=port)
    with pytest.raises(UserError, match=r"^--live-host no\.such\.host\.invalid: no address of this machine"):
        LiveServer("no.such.host.invalid")
    with pytest.raises(UserError, match=r"^--live 70000: this port cannot be had"):
        LiveServer(port=70000)


def test_where_viser_is_missing_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "viser", None)
    with pytest.raises(UserError, match=r"^--live needs viser: pip install -r requirements-live\.txt$"):
        LiveServer()
