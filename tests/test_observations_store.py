import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from store import events, observations
from store.database import Store, open_store
from store.domain.events import ObservationsWritten
from store.domain.ids import SubagentId
from store.domain.observations import (
    Claim,
    Document,
    Evidence,
    Observation,
    Subject,
    fingerprint,
    merge,
    priority,
    render,
)
from store.domain.observations.history import Stacks
from store.face import write_face

RUN = "k7m2p"
WHO = SubagentId(RUN, 1, 2)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store.sqlite3") as store:
        yield store


def document(*names: str) -> Document:
    findings = [
        Observation(
            "",
            fingerprint(Subject.ERROR, name),
            Subject.ERROR,
            priority(Subject.ERROR, Claim.FACT, 1),
            Claim.FACT,
            f"{name} → é",
            excerpt=("@ a.py", "+ x"),
            evidence=(Evidence(WHO, "c", "n", 0, 1, 3, "ab", 2),),
            attempts=(WHO,),
            first=1,
            last=1,
        )
        for name in names
    ]
    return merge(Document(RUN, generation=1), findings)


def save(store: Store, given: Document, author: str = "observer", at: float = 5.0) -> int:
    return store.write(lambda connection: observations.save(connection, given, author=author, at=at))


def test_every_version_is_kept(store: Store) -> None:
    one, two = document("one"), document("one", "two")
    assert save(store, one) == 1
    assert save(store, two, "operator", 6.0) == 2
    assert observations.load(store, RUN, 1) == replace(one, version=1)
    assert observations.load(store, RUN) == replace(two, version=2)
    assert observations.versions(store, RUN) == [
        observations.Version(1, 5.0, "observer"),
        observations.Version(2, 6.0, "operator"),
    ]
    written = [event.payload for event in events.read(store, run=RUN)]
    assert written == [ObservationsWritten(1, "observer", 1), ObservationsWritten(2, "operator", 2)]


def test_the_text_is_that_of_the_document(store: Store) -> None:
    save(store, document("one"))
    loaded = observations.load(store, RUN)
    assert loaded is not None
    assert observations.text(store, RUN) == render(loaded)
    assert "Version 1, after generation 1" in render(loaded)


def test_saving_what_is_there_writes_nothing(store: Store) -> None:
    assert save(store, document("one")) == 1
    loaded = observations.load(store, RUN)
    assert loaded is not None
    assert save(store, loaded) == save(store, document("one")) == 1
    assert len(events.read(store, run=RUN)) == 1


def test_a_version_says_what_was_done_and_what_it_takes_back(store: Store) -> None:
    save(store, document("one"))
    two = document("one", "two")
    store.write(lambda c: observations.save(c, two, author="operator", at=6.0, what="Added o-1."))
    store.write(lambda c: observations.save(c, document("one"), author="operator", at=7.0, what="Undid 2.", undoes=2))
    # An undo is a version also where it changes nothing.
    store.write(lambda c: observations.save(c, document("one"), author="operator", at=8.0, undoes=3))
    assert [(v.what, v.undoes) for v in observations.versions(store, RUN)] == [
        ("", 0),
        ("Added o-1.", 0),
        ("Undid 2.", 2),
        ("", 3),
    ]
    past = observations.Past(store, RUN)
    assert past.stacks() == Stacks((4,), ()), "what was done again can be taken back again"
    assert past.document(2) == replace(two, version=2)
    assert past.document(9) is past.document(0) is None
    assert observations.proposed(observations.versions(store, RUN)) == 1


def test_nothing_is_there_before_the_first(store: Store) -> None:
    assert observations.load(store, RUN) is None
    assert observations.text(store, RUN) is None
    assert observations.load(store, RUN, 7) is None
    assert observations.versions(store, RUN) == []


def test_the_face_is_replaced_whole(tmp_path: Path) -> None:
    face = tmp_path / "observations.md"
    write_face(face, "old\n")
    write_face(face, "new é\n")
    assert face.read_text("utf-8") == "new é\n"
    assert list(tmp_path.iterdir()) == [face]


def test_a_face_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    face = tmp_path / "observations.md"
    face.mkdir()
    with pytest.raises(OSError):
        write_face(face, "text")
    assert list(tmp_path.iterdir()) == [face]


def test_a_writer_that_is_killed_leaves_the_old_text_or_the_new(tmp_path: Path) -> None:
    face = tmp_path / "observations.md"
    write_face(face, "0\n" * 200_000)
    program = textwrap.dedent(
        f"""
        from pathlib import Path
        from store.face import write_face
        print("ready", flush=True)
        n = 0
        while True:
            n = (n + 1) % 10
            write_face(Path({str(face)!r}), f"{{n}}\\n" * 200_000)
        """
    )
    for _ in range(3):
        root = Path(observations.__file__).parent.parent
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=root) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            before = face.stat().st_ino
            while face.stat().st_ino == before:
                time.sleep(0.0005)
            os.kill(process.pid, signal.SIGKILL)
        text = face.read_text()
        assert text == text[:2] * 200_000
