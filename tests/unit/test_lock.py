"""The lock files hold every named dependency, pinned and hashed, and tell nobody's addresses."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUNTIME = PROJECT["project"]["dependencies"]
EMBEDDED = PROJECT["project"]["optional-dependencies"]["embedded"]
GROUPS = PROJECT["dependency-groups"]

NAMED = {
    "requirements.lock": [*RUNTIME, *EMBEDDED, *GROUPS["dev"], *GROUPS["build"]],
    "docs/deploy/requirements.lock": RUNTIME,
    "docs/requirements.lock": GROUPS["docs"],
}


def _name(text: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", text)
    assert found, text
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def _entries(lock: str) -> dict[str, str]:
    """Package name → its whole entry, in a lock file."""
    text = (ROOT / lock).read_text()
    entries = re.findall(r"^(?=[A-Za-z0-9])(?:.+\\\n)*.+$", text, re.MULTILINE)
    return {_name(entry): entry for entry in entries}


def _version(entry: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+==([^\s;]+)", entry)
    assert found, f"not pinned: {entry.splitlines()[0]}"
    return found[1]


@pytest.mark.parametrize("lock", NAMED)
def test_lock_pins_every_named_dependency(lock):
    entries = _entries(lock)
    unmet = [
        text
        for text in NAMED[lock]
        if not Requirement(text).specifier.contains(_version(entries.get(_name(text), "absent==0")))
    ]
    assert not unmet


@pytest.mark.parametrize("lock", NAMED)
def test_lock_pins_and_hashes_every_entry(lock):
    unhashed = [name for name, entry in _entries(lock).items() if "--hash=sha256:" not in entry]
    assert not unhashed
    assert all(_version(entry) for entry in _entries(lock).values())


@pytest.mark.parametrize("lock", NAMED)
def test_lock_holds_no_address(lock):
    options = r"://|^--|^-e "
    assert not re.search(options, (ROOT / lock).read_text(), re.MULTILINE)


@pytest.mark.parametrize("lock", ["docs/deploy/requirements.lock", "docs/requirements.lock"])
def test_side_locks_agree_with_the_main_one(lock):
    main = _entries("requirements.lock")
    differing = {
        name: (_version(entry), _version(main[name]))
        for name, entry in _entries(lock).items()
        if name in main and _version(entry) != _version(main[name])
    }
    assert not differing


def _needs(name: str, extras: frozenset[str]) -> list[Requirement]:
    """What an installed package asks for on this machine; nothing if it is not for this machine."""
    try:
        asked = [Requirement(text) for text in requires(name) or ()]
    except PackageNotFoundError:
        return []
    return [
        need
        for need in asked
        if need.marker is None
        or any(need.marker.evaluate({"extra": extra}) for extra in extras | {""})
    ]


@pytest.mark.parametrize("lock", ["requirements.lock", "docs/deploy/requirements.lock"])
def test_lock_is_whole_as_it_is_installed_without_a_look_at_dependencies(lock):
    entries = _entries(lock)
    extras: dict[str, set[str]] = {}
    for text in NAMED[lock]:
        extras.setdefault(_name(text), set()).update(Requirement(text).extras)
    unmet = [
        f"{name} needs {need}"
        for name in entries
        for need in _needs(name, frozenset(extras.get(name, ())))
        if not need.specifier.contains(_version(entries.get(_name(need.name), "absent==0")))
    ]
    assert not unmet


def test_deploy_lock_holds_neither_tools_nor_embedded_servers():
    tools = {_name(requirement) for requirement in [*GROUPS["dev"], *EMBEDDED]}
    assert not tools & _entries("docs/deploy/requirements.lock").keys()
