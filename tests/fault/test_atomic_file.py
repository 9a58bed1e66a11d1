"""Every file that is replaced as a whole: after a failure at any step, and after a power cut."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fallback.atomic_file import replace_file
from fallback.mode import BoundsKind, Level
from fallback.mode.override import OverrideFile, OverrideRequest, make_override
from fallback.pump.dead_letters import DeadLetterBox
from pricing.access.keys import KeyFile, Role
from pricing.reading.snapshot import Snapshot, SnapshotFile

STEPS = ("open", "write", "fsync", "close", "replace")
FULL_SYNC = ["fsync file", "replace", "fsync directory"]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked of the disk, in order; each call is still made."""
    seen: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        target = Path(f"/proc/self/fd/{descriptor}").resolve()
        seen.append("fsync directory" if target.is_dir() else "fsync file")
        fsync(descriptor)

    def noted_replace(old: Path, new: Path) -> None:
        seen.append("replace")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    for name in ("replace", "rename"):
        monkeypatch.setattr(os, name, noted_replace)
    return seen


def revoke_key(directory: Path) -> Callable[[], object]:
    file = KeyFile(directory / "keys.json")
    key, _ = file.create(name="taxi app", role=Role.CLIENT, now_s=1)
    return lambda: file.revoke(key.key_id, now_s=2)


def save_override(directory: Path) -> Callable[[], object]:
    request = OverrideRequest(
        kind=BoundsKind.FLOOR, level=Level.SEVERE, reason="maintenance of the cache", actor="ops"
    )
    override = make_override(
        request, computed=Level.NORMAL, now_s=1.0, wall_s=1.0, boot_id="one boot"
    )
    return lambda: OverrideFile(directory).save(override)


def write_snapshot(directory: Path) -> Callable[[], object]:
    return lambda: SnapshotFile(directory).write(Snapshot(saved_at_ms=1, states=()))


def keep_dead_letter(directory: Path) -> Callable[[], object]:
    box = DeadLetterBox(directory, now_ms=lambda: 1)
    return lambda: box.add(
        lane="a", seq=1, body=b"x", error_class="refused", reason="why", attempts=1, appended_ms=1
    )


@pytest.mark.parametrize("owner", [revoke_key, save_override, write_snapshot, keep_dead_letter])
def test_replaced_file_survives_power_cut(owner, tmp_path, calls):
    act = owner(tmp_path)
    calls.clear()
    act()
    assert calls == FULL_SYNC


@pytest.mark.parametrize("step", STEPS)
def test_failure_at_a_step_keeps_the_old_file(step, tmp_path, monkeypatch):
    path = tmp_path / "file"
    replace_file(path, b"old")
    fail_at(step, monkeypatch)
    with pytest.raises(OSError, match="no space"):
        replace_file(path, b"new" * 1000)
    monkeypatch.undo()
    assert (path.read_bytes(), [*tmp_path.iterdir()]) == (b"old", [path])


def test_failed_directory_sync_is_raised_and_leaves_one_whole_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    replace_file(path, b"old")
    fail_at("fsync", monkeypatch, calls_that_work=1)
    with pytest.raises(OSError, match="no space"):
        replace_file(path, b"new")
    monkeypatch.undo()
    assert (path.read_bytes(), [*tmp_path.iterdir()]) == (b"new", [path])


def test_draft_of_a_killed_process_is_overwritten(tmp_path):
    (tmp_path / f"file.{os.getpid()}.tmp").write_bytes(b"a longer text than the new one")
    replace_file(tmp_path / "file", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"file": b"new"}


def test_replaced_file_has_the_mode_asked_for(tmp_path):
    (tmp_path / "file").touch(mode=0o644)
    replace_file(tmp_path / "file", b"secret")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def fail_at(step: str, monkeypatch: pytest.MonkeyPatch, *, calls_that_work: int = 0) -> None:
    """Let one call of the operating system fail as on a full disk; a write fails half done."""
    real = getattr(os, step)
    made = 0

    def failing(*arguments: object, **options: object) -> object:
        nonlocal made
        made += 1
        if made <= calls_that_work:
            return real(*arguments, **options)
        if step == "write":
            real(arguments[0], bytes(arguments[1])[:10])
        if step == "close":
            real(*arguments)
        if step == "close" and made > calls_that_work + 1:
            return None
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, step, failing)
