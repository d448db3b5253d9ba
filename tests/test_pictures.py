"""The pictures in the documentation: they are there, small, and what the app draws of the run that lies beside them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from app import actions
from app.tapefiles import read_file
from docs.pictures import draw
from docs.pictures.draw import FOLDER, PICTURES, ROOT, TAPE, Picture
from docs.pictures.svg import svg
from store.database import open_store
from store.home import Home

SVG = "{http://www.w3.org/2000/svg}"
README = (ROOT / "README.md").read_text(encoding="utf-8")
INK = Style.parse("#ffffff on #000000")


def drawn(*rows: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg([Strip([Segment(row, INK)]) for row in rows], "a <title>"))


def spans(root: ElementTree.Element) -> list[tuple[str, str]]:
    return [(str(span.get("x")), str(span.text)) for span in root.iter(f"{SVG}tspan")]


def paths(root: ElementTree.Element) -> list[str]:
    return [str(path.get("d")) for path in root.iter(f"{SVG}path")]


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_a_picture_is_small_and_asks_for_nothing(picture: Picture) -> None:
    name = picture.name
    path = FOLDER / f"{name}.svg"
    text = path.read_text("utf-8")
    root = ElementTree.fromstring(text)
    assert len(text.encode()) < 48_000
    assert {element.tag for element in root.iter()} <= {
        f"{SVG}{tag}" for tag in ("g", "svg", "title", "style", "rect", "path", "text", "tspan")
    }
    assert "href" not in text and "url(" not in text
    assert f"(docs/pictures/{name}.svg)" in README


def test_every_screen_has_one_and_there_is_no_other() -> None:
    names = {picture.name for picture in PICTURES}
    assert {*actions.SCREENS} <= names
    assert {path.stem for path in FOLDER.glob("*.svg")} == names


def test_the_run_that_they_are_of_can_be_walked_about_in(tmp_path: Path) -> None:
    home = Home(tmp_path).create()
    with open_store(home.store) as store:
        _, (made,) = read_file(home, store, TAPE)
    assert re.findall(r"`multitrack play ([a-z0-9]+)`", README) == [made.run]


@pytest.mark.timeout(300)
def test_they_are_what_the_app_draws_wherever_it_is_drawn() -> None:
    # Of no account are a place, a terminal, and what somebody has set.
    environ = os.environ | {"TZ": "Asia/Tokyo", "NO_COLOR": "1", "TERM": "dumb", "MULTITRACK_ASCII": "1"}
    script = [sys.executable, str(ROOT / "docs/pictures/draw.py"), "--check"]
    looked = subprocess.run(script, env=environ, capture_output=True, text=True, check=False)
    assert looked.returncode == 0, f"{looked.stdout}{looked.stderr}"


async def test_one_that_is_not_is_named_with_what_draws_it_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(FOLDER / "report.svg", tmp_path)
    monkeypatch.setattr(draw, "FOLDER", tmp_path)
    monkeypatch.setattr(draw, "_alone", lambda: None)
    assert await draw.main(["report"], check=True) == 0
    (tmp_path / "report.svg").write_text("an earlier one", "utf-8")
    assert await draw.main(["report"], check=True) == 1
    assert "docs/pictures/report.svg is no longer what the app draws: make pictures" in capsys.readouterr().out


def test_words_stand_in_their_cells_and_symbols_alone() -> None:
    root = drawn("  two words   far ✔ ok")
    assert spans(root) == [("16", "two words"), ("112", "far"), ("144", "✔\ufe0e"), ("160", "ok")]
    assert [span.get("textLength") for span in root.iter(f"{SVG}tspan")] == ["72", "24", None, "16"]


def test_wide_characters_take_two_cells() -> None:
    assert spans(drawn("a日b")) == [("0", "a"), ("8", "日\ufe0e"), ("24", "b")]


def test_markup_is_text() -> None:
    root = drawn("<b>&amp; ]]>")
    assert spans(root) == [("0", "<b>&amp; ]]>")]
    assert root.find(f"{SVG}title").text == "a <title>"  # type: ignore[union-attr] # it is there


def test_a_frame_is_four_lines() -> None:
    root = drawn("┌──┐", "│  │", "└──┘")
    assert spans(root) == []
    assert paths(root) == ["M4 9H28M4 45H28M4 9V45M28 9V45"]


def test_blocks_are_filled_and_joined() -> None:
    assert paths(drawn("██", "██")) == ["M0 0H16V36H0z"]
    assert paths(drawn("▄▌")) == ["M0 9H8V18H0zM8 0H12V18H8z"]


def test_braille_is_dots() -> None:
    (dots,) = paths(drawn("⢁"))
    assert dots == "M2 2.25h0M6 15.75h0"


def test_a_ground_of_its_own_is_drawn_once() -> None:
    strip = Strip([Segment("ab", INK), Segment("cd", Style.parse("#ffffff on #112233"))])
    root = ElementTree.fromstring(svg([strip, strip, Strip([Segment("    ", INK)])], "t"))
    assert [(path.get("fill"), path.get("d")) for path in root.iter(f"{SVG}path")] == [("#112233", "M16 0H32V36H16z")]
