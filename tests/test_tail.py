import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.domain.ids import SubagentId
from store.tail import KEPT, Tail, TailReader, TailWriter, tail_path

ONE = SubagentId("k3m9t", 1, 1)
TWO = SubagentId("k3m9t", 1, 2)
OTHER = SubagentId("other", 1, 1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tail_path(tmp_path / "store.sqlite3")


@pytest.fixture
def writer(path: Path) -> Iterator[TailWriter]:
    writer = TailWriter(path)
    yield writer
    writer.close()


@pytest.fixture
def reader(path: Path) -> Iterator[TailReader]:
    reader = TailReader(path)
    yield reader
    reader.close()


def test_what_streams_is_seen_after_a_flush(writer: TailWriter, reader: TailReader) -> None:
    assert reader.read() == {}
    writer.put(ONE, "c1", "reasoning", "let me ")
    writer.put(ONE, "c1", "reasoning", "see")
    writer.put(ONE, "c1", "text", "I \ud800 think\0")
    writer.put(TWO, "c2", "tool", '{"command":')
    assert reader.read() == {}
    writer.flush()
    tails = reader.read()
    assert tails == {
        ONE: Tail("c1", (("reasoning", "let me see"), ("text", "I \ud800 think\0"))),
        TWO: Tail("c2", (("tool", '{"command":'),)),
    }
    assert reader.read() is tails  # nothing has changed
    writer.flush()
    assert reader.read() is tails


def test_another_call_takes_the_place_and_the_end_clears_it(writer: TailWriter, reader: TailReader) -> None:
    writer.put(ONE, "c1", "text", "old")
    writer.put(TWO, "c2", "text", "stays")
    writer.flush()
    writer.put(ONE, "c3", "text", "new")
    writer.flush()
    assert reader.read()[ONE] == Tail("c3", (("text", "new"),))
    writer.clear(ONE)
    assert ONE in reader.read()
    writer.flush()
    assert reader.read() == {TWO: Tail("c2", (("text", "stays"),))}


def test_what_a_dead_engine_left_is_cleared_for_its_run_alone(path: Path, reader: TailReader) -> None:
    dead = TailWriter(path)
    dead.put(ONE, "c1", "text", "cut off")
    dead.put(OTHER, "c2", "text", "another engine's")
    dead.flush()
    writer = TailWriter(path)
    writer.put(TWO, "c0", "text", "forgotten")
    writer.clear_run("k3m9t")
    writer.flush()
    assert reader.read() == {OTHER: Tail("c2", (("text", "another engine's"),))}
    writer.put(TWO, "c9", "text", "fresh")
    writer.flush()
    assert set(reader.read()) == {OTHER, TWO}
    dead.close()
    writer.close()


@given(pieces=st.lists(st.tuples(st.sampled_from(["text", "reasoning", "tool"]), st.text(max_size=3000)), max_size=12))
def test_the_end_of_the_text_is_kept_whatever_the_pieces(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("tail") / "t"
    writer, reader = TailWriter(path), TailReader(path)
    for kind, text in pieces:
        writer.put(ONE, "c", kind, text)
    writer.flush()
    parts = reader.read()[ONE].parts if pieces else ()
    whole = "".join(text for _, text in pieces)
    assert "".join(text for _, text in parts) == whole[-KEPT:]
    assert all(one[0] != other[0] for one, other in pairwise(parts))
    writer.close()
    reader.close()


def damage(path: Path) -> None:
    path.write_bytes(b"this is no database" * 1000)


def other_layout(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as driver:
        driver.execute("CREATE TABLE tails (something TEXT)")
    driver.close()


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("harm", [damage, other_layout, remove])
def test_a_file_that_is_lost_or_damaged_is_made_anew(
    path: Path, reader: TailReader, harm: Callable[[Path], None]
) -> None:
    first = TailWriter(path)
    first.put(ONE, "c1", "text", "before")
    first.flush()
    assert ONE in reader.read()
    reader.close()
    first.close()
    harm(path)
    assert reader.read() == {}
    writer = TailWriter(path)
    writer.put(TWO, "c2", "text", "after")
    writer.flush()
    writer.flush()  # the first found it damaged
    assert reader.read() == {TWO: Tail("c2", (("text", "after"),))}
    writer.close()


def test_a_file_made_anew_under_a_writer_is_noticed(path: Path, writer: TailWriter, reader: TailReader) -> None:
    writer.put(ONE, "c1", "text", "a")
    writer.flush()
    assert ONE in reader.read()
    for file in path.parent.glob(path.name + "*"):
        file.unlink()
    writer.put(ONE, "c1", "text", "b")
    writer.flush()
    assert reader.read() == {ONE: Tail("c1", (("text", "ab"),))}


def test_a_moment_in_which_another_engine_writes_is_made_up_for(
    path: Path, writer: TailWriter, reader: TailReader
) -> None:
    writer.put(ONE, "c1", "text", "a")
    writer.flush()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writer.put(ONE, "c1", "text", "b")
    writer.clear(TWO)
    writer.flush()
    assert reader.read()[ONE].parts == (("text", "a"),)
    other.execute("ROLLBACK")
    other.close()
    writer.flush()
    assert reader.read()[ONE].parts == (("text", "ab"),)


def test_nowhere_to_write_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    writer = TailWriter(tmp_path / "missing" / "tail")
    writer.put(ONE, "c1", "text", "a")
    writer.flush()
    assert TailReader(tmp_path / "missing" / "tail").read() == {}
    assert "cannot be written" in caplog.text
    (tmp_path / "missing").mkdir()
    writer.flush()
    assert ONE in TailReader(tmp_path / "missing" / "tail").read()
    writer.close()


READ = """
import sys
from pathlib import Path
from store.tail import TailReader
print(TailReader(Path(sys.argv[1])).read())
"""


def test_the_file_is_for_its_user_alone_and_crosses_processes(path: Path, writer: TailWriter) -> None:
    writer.put(ONE, "c1", "text", "seen from afar")
    writer.flush()
    assert path.stat().st_mode & 0o777 == 0o600
    said = subprocess.run([sys.executable, "-c", READ, str(path)], check=True, capture_output=True, text=True).stdout
    assert "seen from afar" in said
