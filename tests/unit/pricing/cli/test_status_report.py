from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from rich.console import Console

from fallback.mode import Level, Reading
from pricing.cli.status_report import Target, render, show_status
from tests.support.api import World


class Service:
    """Answers every request with the same text."""

    def __init__(self) -> None:
        self.text = "{}"
        self.code = 200
        self.keys: list[str | None] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                service.keys.append(self.headers.get("X-API-Key"))
                self.send_response(service.code)
                self.end_headers()
                self.wfile.write(service.text.encode())

            def log_message(self, *_words: object) -> None: ...

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    thread = threading.Thread(target=service.server.serve_forever, args=(0.01,))
    thread.start()
    yield service
    service.server.shutdown()
    thread.join()
    service.server.server_close()


def body(level: Level) -> dict:
    world = World()
    if level:
        world.shown.show("redis", level)
    world.shown.clocks.advance(1)
    world.stepped.orchestrator.step()
    return {**world.system.as_json(), "fleet": world.system.fleet_json()}


@pytest.mark.parametrize(
    ("level", "code"),
    [(Level.NORMAL, 0), (Level.MINOR, 3), (Level.MODERATE, 3), (Level.SEVERE, 4)],
)
def test_exit_code_tells_the_mode(service, capsys, level, code):
    service.text = json.dumps({"data": body(level)})
    target = Target(url=service.url, key="eq_x")
    capsys.readouterr()
    assert show_status(target, as_json=True, watch=False) == code
    assert json.loads(capsys.readouterr().out)["level"] == level.word
    assert service.keys == ["eq_x"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"data": {"mode": "odd"}}'])
def test_other_service_is_unreachable(service, capsys, text):
    service.text = text
    assert show_status(Target(url=service.url), as_json=False, watch=False) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_absent_service_is_unreachable(capsys):
    assert show_status(Target(url="http://127.0.0.1:1"), as_json=False, watch=False) == 1
    assert "does not answer" in capsys.readouterr().err


def test_address_must_be_http():
    with pytest.raises(ValueError, match="--url file:///etc"):
        Target(url="file:///etc")


def test_table_shows_mode_cause_override_and_fleet():
    data = body(Level.MODERATE)
    data["override"] = {
        "kind": "floor",
        "level": "moderate",
        "actor": "anna",
        "expires_at": "soon",
        "reason": "[red]maintenance[/red]",
    }
    data["fleet"]["instances"].append({**data["fleet"]["instances"][0], "instance": "api-2"})
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(render(data))
    text = console.export_text()
    for piece in ("degraded (moderate)", "redis is moderate", "[red]maintenance[/red]", "api-2"):
        assert piece in text


def test_recovery_tells_what_holds_it_up():
    world = World()
    world.shown.show("redis", Level.MINOR)
    world.shown.clocks.advance(1)
    world.stepped.orchestrator.step()
    world.shown.readings = {"read_p99_ms": Reading(value=100.0)}
    for _ in range(5):
        world.shown.clocks.advance(1)
        world.stepped.orchestrator.step()
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(render(world.system.as_json()))
    assert "gets better by itself, held by read_p99_ms (100.0)" in console.export_text()


@pytest.mark.parametrize("code", [401, 403])
def test_service_that_wants_a_key_says_how_to_give_one(service, capsys, code):
    service.code = code
    assert show_status(Target(url=service.url), as_json=False, watch=False) == 1
    told = capsys.readouterr().err
    assert f"answers {code}" in told
    assert "EQUILIBRIUM_API_KEY" in told
