"""The compose file and the image, as far as they can be checked without an engine."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml

from pricing.cli.app import app
from pricing.wiring.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
DOCKERFILE = (ROOT / "docs" / "deploy" / "Dockerfile").read_text()
OURS = ("migrate", "api", "processor")


def _environment(service):
    return SERVICES[service].get("environment", {})


def _settings_named(text):
    return set(re.findall(rf"{PREFIX}[A-Z_]+", text))


def test_compose_runs_the_service_and_its_servers():
    assert set(SERVICES) == {"kafka", "postgres", "valkey", *OURS}


@pytest.mark.parametrize("service", [name for name in SERVICES if name != "migrate"])
def test_service_has_a_health_check(service):
    check = SERVICES[service]["healthcheck"]
    assert check["test"][0] in ("CMD", "CMD-SHELL")
    assert {"interval", "timeout", "retries"} <= check.keys()


@pytest.mark.parametrize("service", SERVICES)
def test_ports_are_published_on_loopback_only(service):
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[service].get("ports", []))


@pytest.mark.parametrize("service", SERVICES)
def test_named_volumes_are_declared(service):
    used = {volume.partition(":")[0] for volume in SERVICES[service].get("volumes", [])}
    assert used <= COMPOSE["volumes"].keys()


@pytest.mark.parametrize("service", SERVICES)
def test_dependencies_wait_for_health_or_completion(service):
    for other, how in SERVICES[service].get("depends_on", {}).items():
        ends = SERVICES[other].get("restart") == "no"
        wanted = "service_completed_successfully" if ends else "service_healthy"
        assert how == {"condition": wanted}


def test_settings_of_compose_and_image_exist():
    named = _settings_named((ROOT / "docker-compose.yml").read_text() + DOCKERFILE)
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    assert named
    assert named <= known


@pytest.mark.parametrize("service", OURS)
def test_service_starts_a_command_that_exists(service):
    commands = {
        command.name or (command.callback and command.callback.__name__)
        for command in app.registered_commands
    }
    assert SERVICES[service]["command"] == [service]
    assert service in commands


@pytest.mark.parametrize("service", OURS)
def test_service_accepts_its_settings(service, monkeypatch):
    for name, value in _environment(service).items():
        monkeypatch.setenv(name, re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value))
    settings = Settings()
    assert settings.kafka_bootstrap_servers == "kafka:19092"
    assert (settings.http_host != "127.0.0.1") == (service == "api")


def test_postgres_volume_is_where_version_18_keeps_its_data():
    assert SERVICES["postgres"]["image"].startswith("postgres:18")
    assert SERVICES["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]


@pytest.mark.parametrize("service", ["api", "processor"])
def test_health_check_in_python_compiles(service):
    command, flag, script = SERVICES[service]["healthcheck"]["test"][1:]
    assert (command, flag) == ("python", "-c")
    ast.parse(script)


def test_image_runs_unprivileged_in_exec_form_with_a_health_check():
    final = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER 10001$", final, re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["equilibrium"\]$', final, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK ", final, re.MULTILINE)


def test_image_copies_only_what_its_context_holds():
    allowed = {
        line.removeprefix("!").strip()
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = {
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    }
    assert copied <= allowed
    assert all((ROOT / source).exists() for source in copied)
