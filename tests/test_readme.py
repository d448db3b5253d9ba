"""What the documents say is there, is there."""

import re
from pathlib import Path

import pytest

from app.actions import find
from app.cli import build_parser

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "bench/README.md"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert missing == []


def test_every_document_is_in_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert {path.name for path in (ROOT / "docs").glob("*.md") if f"({path.name})" not in index} == {"index.md"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_that_is_named_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    _, commands = build_parser()
    named = set(re.findall(r"`multitrack ([a-z]+)", text)) | set(
        re.findall(r"^multitrack ([a-z]+)", text, re.MULTILINE)
    )
    assert named - commands.keys() == set()


def test_every_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for document in DOCUMENTS:
        named = re.findall(r"(?:^|`)make ([a-z-]+)", document.read_text(encoding="utf-8"), re.MULTILINE)
        assert set(named) - targets - {"check", "test"} == set(), document


def test_every_key_that_is_named_does_what_is_said() -> None:
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    for action, does in {
        "kill": "kills a subagent",
        "pause": "pauses it",
        "continue": "lets it go on",
        "stop": "ends the run",
        "launch": "launches the next generation",
        "launch-rest": "all that follow",
    }.items():
        assert f"`{find(action).keys[0]}` {does}" in text


def test_every_command_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    _, commands = build_parser()
    assert {name for name in commands if f"`{name}`" not in text} == set()
