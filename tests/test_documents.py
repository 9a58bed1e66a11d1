"""What the documents claim is what the tree holds."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from docs.generate import pages

ROOT = Path(__file__).parents[1]
MARKDOWN = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
# Spelled in halves, so that this file does not name them either.
HOSTS = ("py" + "pi.org", "python" + "hosted.org", "maven" + ".org", "npm" + "js.org")
MACHINE_PATH = re.compile(r"(?<![\w.*}/-])/(?:root|work|home/\w+)/\w")


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _tracked_texts() -> dict[str, str]:
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, timeout=30, check=False
    )
    if listing.returncode:
        pytest.skip("not a git work tree")
    texts = {}
    for name in filter(None, listing.stdout.decode().split("\0")):
        try:
            texts[name] = (ROOT / name).read_text()
        except (UnicodeDecodeError, FileNotFoundError):
            continue  # an image, or a file that is just being moved
    return texts


@pytest.mark.parametrize("page", pages(), ids=_relative)
def test_generated_page_equals_the_code(page):
    assert page.read_text() == pages()[page], "run `make docs-generated`"


@pytest.mark.parametrize("page", MARKDOWN, ids=_relative)
def test_links_lead_somewhere(page):
    targets = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    assert not [target for target in targets if not (page.parent / target).exists()]


@pytest.mark.parametrize("page", MARKDOWN, ids=_relative)
def test_make_targets_that_a_page_names_exist(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`|\$ )make ([a-z-]+)", page.read_text(), re.MULTILINE))
    assert named <= targets


def test_tracked_text_names_no_registry():
    found = [
        (name, host) for name, text in _tracked_texts().items() for host in HOSTS if host in text
    ]
    assert not found


def test_tracked_text_names_no_path_of_a_machine():
    found = {name: MACHINE_PATH.findall(text) for name, text in _tracked_texts().items()}
    assert not {name: paths for name, paths in found.items() if paths}


def test_tests_that_the_invariants_name_exist():
    page = (ROOT / "docs" / "invariants.md").read_text()
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", page)
    absent = [
        f"{path}::{name}"
        for path, name in named
        if not re.search(
            rf"(def {name}\(|^{name} = )", _text_of(ROOT / "tests" / path), re.MULTILINE
        )
    ]
    assert named
    assert not absent


def _text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""
