"""Prices over HTTP, against a constant from the same server, with `wrk` on another core."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.benchmark import Case, Unavailable
from pricing.embedded.ports import free_ports
from pricing.embedded.wheels import valkey_program
from pricing.zones import load_catalogue

_SECONDS = int(os.environ.get("BENCHMARK_HTTP_S", "1"))
"""Of one round of one case."""
_CONNECTIONS = 32
_BATCH = 100
_SERVER_CORE, _LOAD_CORE = 0, 1
_REQUESTS = re.compile(r"(\d+) requests in")
_REFUSED = re.compile(r"Non-2xx or 3xx responses: (\d+)")

# Over all zones in turn, so that no single zone's text is always the one just made.
_SINGLE = """
local requests, at = {}, 0
init = function()
  for place, zone in ipairs({%s}) do
    requests[place] = wrk.format("GET", "/api/v1/zones/" .. zone .. "/price")
  end
end
request = function()
  at = at %% #requests + 1
  return requests[at]
end
"""
_MANY = """
wrk.method, wrk.path, wrk.body = "POST", "/api/v1/prices", '{"zone_ids": [%s]}'
wrk.headers["Content-Type"] = "application/json"
"""


class _Http:
    name = "http"
    what = (
        f"Reads over HTTP with {_CONNECTIONS} connections: one server process on one core, `wrk` "
        "and Redis on another; timed is the server's processor, so that what the others can do is "
        "no limit. The baseline is a constant from the same server; `naive` is FastAPI, one "
        "HGETALL and a response model. A batch counts as the zones that it holds."
    )
    unit = "zone price"

    def cases(self) -> Sequence[Case]:
        if shutil.which("wrk") is None:
            raise Unavailable("wrk is missing (Debian, Ubuntu: apt install wrk)")
        directory = Path(tempfile.mkdtemp(prefix="equilibrium-bench-"))
        atexit.register(shutil.rmtree, directory, ignore_errors=True)
        directory.chmod(0o711)  # for the copy of Valkey, where root's servers need one
        if not Path("/proc/self/schedstat").exists():
            raise Unavailable("this system does not tell a process's processor time")
        redis_url = _valkey(directory)
        zones = [zone.zone_id for zone in load_catalogue(None).zones]
        single = _script(directory, "single", _SINGLE % ", ".join(f'"{one}"' for one in zones))
        many = _script(directory, "many", _MANY % ", ".join(f'"{one}"' for one in zones[:_BATCH]))
        memo, no_memo = _server("memo", redis_url), _server("no-memo", redis_url)
        return [
            _case("a constant", _server("bare", redis_url), single),
            _case("price, from the memo", memo, single),
            _case("price, every one from Redis", no_memo, single),
            _case("price, naive", _server("naive", redis_url), single),
            _case(f"batch of {_BATCH}, from the memo", memo, many, _BATCH),
            _case(f"batch of {_BATCH}, from Redis", no_memo, many, _BATCH),
        ]


def _case(label: str, server: _Server, script: Path, prices: int = 1) -> Case:
    run = _load(server.port, script, prices)
    return Case(label=label, run=run, operations=None, now_ns=server.processor_ns)


def _load(port: int, script: Path, prices: int) -> Callable[[], int]:
    """A round of load; it returns how many prices were answered."""
    command = [
        *("taskset", "-c", str(_LOAD_CORE % (os.cpu_count() or 1))),
        *("wrk", "-t1", f"-c{_CONNECTIONS}", f"-d{_SECONDS}s", "-s", str(script)),
        f"http://127.0.0.1:{port}/",
    ]

    def run() -> int:
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        done = _REQUESTS.search(told)
        assert done is not None, told
        assert _REFUSED.search(told) is None, told
        return max(1, int(done[1]) * prices)

    return run


def _script(directory: Path, name: str, text: str) -> Path:
    path = directory / f"{name}.lua"
    path.write_text(text)
    return path


@dataclass(frozen=True, slots=True)
class _Server:
    pid: int
    port: int

    def processor_ns(self) -> int:
        """Processor time that it has used."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[0])


def _server(kind: str, redis_url: str) -> _Server:
    """Start one on its core."""
    process = _start(
        *("taskset", "-c", str(_SERVER_CORE)),
        *(sys.executable, "-m", "benchmarks.http_server", kind, redis_url),
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    return _Server(process.pid, int(process.stdout.readline()))


def _valkey(directory: Path) -> str:
    port = free_ports(1)[0]
    program = valkey_program(directory / "programs")
    load_core = str(_LOAD_CORE % (os.cpu_count() or 1))
    settings = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
    _start("taskset", "-c", load_core, str(program), *settings, stdout=subprocess.DEVNULL)
    return f"redis://127.0.0.1:{port}/0"


def _start(*command: str, stdout: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(command, stdout=stdout, stderr=subprocess.DEVNULL, text=True)
    atexit.register(_end, process)
    return process


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
        return
    process.kill()


BENCHMARK = _Http()
