"""`objabn view` from outside: what it refuses, what its server refuses, how it ends."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import run
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket
from toys import nano, toy_config

import objabn
from cli import view
from objabn.viewing.local_only import guard

pytest.importorskip("nicegui")


async def take(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


async def talk(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("hello")
    await socket.close()


@pytest.fixture
def client() -> TestClient:
    app = Starlette(routes=[Route("/", take, methods=["POST"]), WebSocketRoute("/talk", talk)])
    guard(app, largest_upload=1000)
    return TestClient(app, base_url="http://127.0.0.1:8080")


def test_uploads_are_taken_up_to_a_size(client: TestClient) -> None:
    answer = client.post("/", content=b"x" * 1000)
    assert answer.text == "1000"
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert client.post("/", content=b"x" * 1001).status_code == 413
    # In pieces nothing is announced.
    assert client.post("/", content=(b"x" * 100 for _ in range(11))).status_code == 413
    assert client.post("/", content=(b"x" * 100 for _ in range(10))).text == "1000"


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:9999", "null", "http://127.0.0.1:8080.evil.example"])
def test_other_sites_are_refused(client: TestClient, origin: str) -> None:
    assert client.post("/", headers={"origin": origin}).status_code == 403
    with pytest.raises(Exception), client.websocket_connect("/talk", headers={"origin": origin}):  # noqa: B017
        pass


def test_its_own_site_is_answered(client: TestClient) -> None:
    own = {"origin": "http://127.0.0.1:8080", "host": "127.0.0.1:8080"}
    assert client.post("/", headers=own).text == "0"
    with client.websocket_connect("/talk", headers=own) as socket:
        assert socket.receive_text() == "hello"


def test_names_that_are_made_to_point_here_are_refused(client: TestClient) -> None:
    assert client.post("/", headers={"host": "localhost:1"}).text == "0"
    for name in ("evil.example", "127.0.0.1.evil.example:8080", "0.0.0.0:8080", "[::1]:8080", ""):
        assert client.post("/", headers={"host": name}).status_code == 400
    with pytest.raises(Exception), client.websocket_connect("/talk", headers={"host": "evil.example"}):  # noqa: B017
        pass


def test_wrong_usage_is_said_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=r"--host 0\.0\.0\.0 is not possible.*ssh -L 8080:127\.0\.0\.1:8080"):
        view.view(tmp_path, host="0.0.0.0")
    with pytest.raises(ValueError, match="There is no method 'magic'"):
        view.view(tmp_path, method="gradcam,magic")
    monkeypatch.setattr(view, "find_spec", lambda _name: None)
    with pytest.raises(RuntimeError, match=r"needs NiceGUI, which is not installed; install objabn\[view\]"):
        view.view(tmp_path)
    assert "no-open" in run("view", "--help")


def test_the_command_line_alone_brings_no_page() -> None:
    code = "import sys, cli.main; print([m for m in ('nicegui', 'fastapi', 'uvicorn') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.slow
def test_it_serves_until_it_is_interrupted_and_refuses_a_taken_port(tmp_path: Path) -> None:
    objabn.save_model(nano(toy_config()), tmp_path / "model.safetensors")
    command = [sys.executable, "-c", "from cli.main import run; run()", "view", str(tmp_path), "--no-open", "--device", "cpu", "--port"]
    server = subprocess.Popen([*command, "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])
    try:
        line = next(line for line in server.stdout if line.startswith("http"))
        port = re.match(r"http://127\.0\.0\.1:(\d+)/ ", line)[1]
        other = subprocess.run([*command, port], capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1])
        assert other.returncode == 1
        assert other.stderr.startswith(f"objabn: Port {port} cannot be used (Address already in use); give another one by --port")
        server.send_signal(signal.SIGINT)
        _, errors = server.communicate(timeout=60)
        assert (server.returncode, errors) == (130, "objabn: interrupted.\n")
    finally:
        server.kill()
