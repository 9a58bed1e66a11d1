"""`equilibrium stack` as a person and as a script use it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pricing.embedded.directories import NOBODY
from tests.support.reachable_copy import copy_of_code, copy_of_server_packages

ROOT = Path(__file__).parents[2]
STACK = """
import sys
from pathlib import Path
from pricing.embedded import run_stack
from pricing.errors import StartupError
try:
    sys.exit(run_stack(sys.argv[2:], data_dir=Path(sys.argv[1]), kafka="tansu"))
except StartupError as error:
    sys.exit(str(error))
"""
WITHIN_S = 90
"""Ends a hang, and says nothing of speed."""
NAMES = {
    "EQUILIBRIUM_DATABASE_URL",
    "EQUILIBRIUM_REDIS_URL",
    "EQUILIBRIUM_KAFKA_BOOTSTRAP_SERVERS",
    "EQUILIBRIUM_KAFKA_IDEMPOTENCE",
    "EQUILIBRIUM_KAFKA_REPLICATION",
    "EQUILIBRIUM_KAFKA_PARTITIONS",
    "EQUILIBRIUM_KAFKA_STATIC_MEMBERSHIP",
    "EQUILIBRIUM_KAFKA_SESSION_TIMEOUT_MS",
    "EQUILIBRIUM_AUTH",
}


@contextmanager
def stack(directory: Path, *command: str) -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-c", STACK, str(directory), *command]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, cwd=ROOT, text=True, **pipes) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=WITHIN_S)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    out, err = process.communicate(timeout=WITHIN_S)
    return process.returncode, out, err


def test_command_gets_the_settings_and_gives_its_exit_code(prepared_directory):
    with stack(prepared_directory, "sh", "-c", "env; exit 7") as process:
        code, out, _ = ended(process)
    assert code == 7
    assert {line.partition("=")[0] for line in out.splitlines()} >= NAMES


def test_command_ended_by_a_signal_gives_the_shells_code(prepared_directory):
    with stack(prepared_directory, "sh", "-c", "kill -9 $$") as process:
        assert ended(process)[0] == 128 + signal.SIGKILL


def test_unknown_command_is_refused_before_anything_starts(own_directory):
    with stack(own_directory, "no-such-command") as process:
        assert ended(process) == (127, "", "no-such-command: no such command\n")
    assert not list(own_directory.iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stack_prints_settings_and_ends_well_when_told(prepared_directory, number):
    with stack(prepared_directory) as process:
        lines = [process.stdout.readline() for _ in NAMES]
        assert {line.partition("=")[0] for line in lines} == NAMES
        process.send_signal(number)
        code, out, err = ended(process)
    assert (code, out) == (0, "")
    assert "kept in memory only" in err
    assert "Traceback" not in err


def test_stack_told_to_end_while_it_starts_ends_well(own_directory):
    with stack(own_directory) as process:
        process.stderr.readline()  # the first server answers
        process.send_signal(signal.SIGTERM)
        code, _, err = ended(process)
    assert code == 0
    assert "Traceback" not in err


def test_signal_reaches_the_command(prepared_directory):
    script = "trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep 0.05; done"
    with stack(prepared_directory, "sh", "-c", script) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        code, out, _ = ended(process)
    assert (code, out) == (3, "caught\n")


def test_directory_in_use_is_told_in_one_line(prepared_directory):
    with stack(prepared_directory) as first:
        first.stdout.readline()
        with stack(prepared_directory) as second:
            code, out, err = ended(second)
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1
    assert f"{prepared_directory} is in use" in err


def test_server_that_ends_by_itself_is_told_once(prepared_directory):
    with stack(prepared_directory) as process:
        for _ in NAMES:
            process.stdout.readline()
        pid = next(pid for pid in children(process.pid) if "tansu" in command_line(pid))
        os.kill(pid, signal.SIGKILL)
        while "has ended by itself" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGTERM)
        assert ended(process)[0] == 0


def children(pid: int) -> list[int]:
    listing = Path(f"/proc/{pid}/task/{pid}/children")
    if not listing.exists():
        pytest.skip("needs /proc to find the servers")
    return [int(word) for word in listing.read_text().split()]


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="is a plain user already")
def test_plain_user_can_run_the_stack(own_directory):
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    python = shutil.which(version, path="/usr/local/bin:/usr/bin:/bin")
    if python is None:
        pytest.skip(f"no {version} that a plain user can reach")
    home = own_directory / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    code = own_directory / "code"
    code.mkdir()
    run = subprocess.run(
        [python, "-c", STACK, home / "data", "sh", "-c", "id -u; env"],
        cwd="/",
        env={"PATH": os.defpath, "PYTHONPATH": str(copy_of_code(code)), "HOME": str(home)},
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(f"{NOBODY}\n")
    assert "EQUILIBRIUM_DATABASE_URL=" in run.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a small disk")
def test_full_disk_is_told_in_one_line(own_directory):
    small = f"mount -t tmpfs -o size=8m,mode=711 none {own_directory}"
    if subprocess.run(["unshare", "--mount", "sh", "-c", small], check=False).returncode:
        pytest.skip("this machine does not let us mount")
    words = [sys.executable, "-c", STACK, str(own_directory), "true"]
    run = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f'{small} && exec "$@"', "sh", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert run.returncode == 1
    assert "No space left on device" in run.stderr.splitlines()[-1]
    assert "Traceback" not in run.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers run as somebody else")
def test_packages_below_a_closed_directory_are_copied_once(prepared_directory, closed_packages):
    path = f"PYTHONPATH={closed_packages}"
    words = ["env", path, sys.executable, "-c", STACK, str(prepared_directory), "true"]
    for _ in range(2):
        run = subprocess.run(words, cwd=ROOT, stderr=subprocess.PIPE, timeout=WITHIN_S, check=False)
        assert run.returncode == 0, run.stderr
    copies = {path.name for path in (prepared_directory / "programs").rglob("*") if path.is_file()}
    assert {"postgres", "initdb", "valkey-server", "tansu"} <= copies
    assert not any(name.endswith((".a", ".h")) for name in copies)


@pytest.fixture
def closed_packages() -> Iterator[Path]:
    """The servers' packages in a directory that only we may enter."""
    with tempfile.TemporaryDirectory() as closed:
        copy_of_server_packages(Path(closed))
        Path(closed).chmod(0o700)
        yield Path(closed)
