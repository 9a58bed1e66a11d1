"""Mutants from a list: one piece of source is changed, and the tests have to notice.

Each runs in a process of its own on a copy of the package, so nothing of the mutant stays.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Mutant:
    """`old` stands exactly once in the file and becomes `new`."""

    path: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{Path(self.path).stem}: {' '.join(self.old.split())} -> {self.new}"


def survives(mutant: Mutant, tests: Sequence[str], workplace: Path) -> bool:
    """Whether the tests pass although the source is wrong.

    Raises `ValueError` for a mutant that does not fit the source any more.
    """
    source = (ROOT / mutant.path).read_text()
    if source.count(mutant.old) != 1:
        raise ValueError(f"{mutant}: stands {source.count(mutant.old)} times in the source")
    package = Path(mutant.path).parts[0]
    no_cache = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / package, workplace / package, ignore=no_cache)
    (workplace / mutant.path).write_text(source.replace(mutant.old, mutant.new))
    shutil.copytree(ROOT / "tests/support", workplace / "tests/support", ignore=no_cache)
    for test in tests:
        (workplace / test).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / test, workplace / test)
    # Without plugins pytest is up in a fifth of the time; the tests named here need none.
    quick = ["-c", "/dev/null", "--import-mode=importlib", "-p", "no:cacheprovider"]
    run = subprocess.run(
        [sys.executable, "-B", "-m", "pytest", "-x", "-q", *quick, *tests],
        cwd=workplace,
        env={"PYTHONPATH": str(workplace), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        timeout=100,
        check=False,
    )
    if run.returncode not in (0, 1):
        raise RuntimeError(f"{mutant}: the tests did not run: {run.stdout.decode()[-2000:]}")
    return run.returncode == 0
