"""`observations.md` while it is written: by several people at once, and by an engine that is killed over it."""

import asyncio
import os
import random
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from backends.harness import curating
from backends.harness.curating import match_face, repeat_edits
from backends.harness.journal import Journal
from store import observations
from store.database import Store, open_store
from store.domain.commands import ChangeObservations, EditObservations, Launch
from store.domain.ids import SubagentId
from store.domain.observations import Document, Priority, merge, parse, select
from store.domain.observations import changes as do
from store.domain.states import RunState
from store.face import Face, exchange
from store.home import Home, RunFolder
from tests.harnessrig import rig
from tests.observation_documents import RUN, finding

ROOT = Path(__file__).parent.parent


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path).create()
    made.folder(RUN).create()
    return made


@pytest.fixture
def store(home: Home) -> Iterator[Store]:
    with open_store(home.store) as store:
        yield store


def keep(store: Store, *names: str) -> Document:
    document = merge(observations.load(store, RUN) or Document(RUN, generation=1), [finding(name) for name in names])
    store.write(lambda c: observations.save(c, document, author="observer", at=5.0))
    return document


def matched(store: Store, folder: RunFolder) -> str:
    """What the file says after an engine has looked at it."""
    asyncio.run(match_face(Journal(store, RUN, time.time), folder, last=True))
    said = folder.observations.read_text()
    assert said == observations.text(store, RUN)
    assert sorted(p.name for p in folder.path.iterdir() if "observations" in p.name) == ["observations.md"]
    return said


# The file alone.


def test_two_files_change_places(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("1")
    two.write_text("2")
    assert exchange(one, two)
    assert (one.read_text(), two.read_text()) == ("2", "1")
    with pytest.raises(FileNotFoundError):
        exchange(one, tmp_path / "none")


@pytest.mark.parametrize("able", [True, False], ids=["swapped", "where the system can't swap"])
def test_what_was_saved_a_moment_ago_is_not_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, able: bool
) -> None:
    if not able:
        monkeypatch.setattr("store.face.exchange", lambda one, other: False)
    face = Face(tmp_path / "observations.md")
    assert face.replace("first", None)
    assert face.text == "first"
    assert not face.replace("second", None), "somebody made it meanwhile"
    assert face.replace("second", "first")
    assert (face.text, face.aside) == ("second", "first" if able else None)
    face.forget()
    face.path.write_text("a person's")
    assert not face.replace("third", "second")
    assert "a person's" in (face.text, face.aside)


def test_a_file_of_another_encoding_is_read(tmp_path: Path) -> None:
    face = Face(tmp_path / "observations.md")
    face.path.write_bytes("Müll".encode("latin-1"))
    assert face.text == "Müll"
    face.path.write_bytes("\ufeffÜ".encode())
    assert face.text == "Ü"
    face.path.write_bytes("· “Müll”".encode("utf-16"))
    assert face.text == "· “Müll”"
    # A few letters of Windows among UTF-8 turn none of the others into something else.
    face.path.write_bytes("(o-3f2a · fix) ".encode() + "“Müll”".encode("cp1252"))
    assert face.text == "(o-3f2a · fix) “Müll”"


def test_a_link_stays_and_where_it_leads_is_the_file(tmp_path: Path) -> None:
    link, there = tmp_path / "observations.md", tmp_path / "elsewhere" / "mine.md"
    there.parent.mkdir()
    link.symlink_to(there)
    face = Face(link)
    assert face.replace("first", None)
    assert face.replace("second", "first")
    face.forget()
    assert (link.is_symlink(), there.read_text(), list(there.parent.iterdir())) == (True, "second", [there])


def test_whoever_may_read_the_file_still_may(tmp_path: Path) -> None:
    face = Face(tmp_path / "observations.md")
    assert face.replace("first", None)
    face.path.chmod(0o644)
    assert face.replace("second", "first")
    assert stat.S_IMODE(face.path.stat().st_mode) == 0o644


def test_where_a_file_has_but_one_name_it_is_written_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(one: Path, other: Path) -> None:
        raise PermissionError("no second names here")

    monkeypatch.setattr("store.face.os.link", link)
    face = Face(tmp_path / "observations.md")
    assert face.replace("first", None)
    assert not face.replace("second", None)
    assert (face.text, list(tmp_path.iterdir())) == ("first", [face.path])


# Matched with the store.


def test_what_was_swapped_out_by_an_engine_that_died_is_taken_over(home: Home, store: Store) -> None:
    folder = home.folder(RUN)
    keep(store, "lock")
    said = matched(store, folder)
    face = Face(folder.observations)
    folder.observations.write_text(said + "\n- Saved in the last moment.\n")
    keep(store, "retry")
    assert not face.replace(observations.text(store, RUN) or "", said)
    # The engine is killed here. The next one finds what a person saved, and what the observer found.
    now = matched(store, folder)
    assert "Saved in the last moment." in now
    assert "The retry was tried." in now


def test_what_an_editor_still_writes_into_the_old_file_is_taken_over(home: Home, store: Store) -> None:
    folder = home.folder(RUN)
    keep(store, "lock")
    matched(store, folder)
    with folder.observations.open("a") as editor:
        keep(store, "retry")
        asyncio.run(match_face(Journal(store, RUN, time.time), folder))
        editor.write("\n- Written into the old file.\n")
    now = matched(store, folder)
    assert "Written into the old file." in now
    assert "The retry was tried." in now


def test_a_file_that_is_being_saved_is_read_when_it_is_whole(home: Home, store: Store) -> None:
    folder = home.folder(RUN)
    keep(store, "lock", "retry", "sleep")
    said = matched(store, folder)
    folder.observations.write_text(said[: len(said) // 2])

    def save() -> None:
        time.sleep(curating.QUIET / 3)
        folder.observations.write_text(said + "\n- Mine.\n")

    saving = threading.Thread(target=save)
    saving.start()
    now = matched(store, folder)
    saving.join()
    assert "Mine." in now
    document = observations.load(store, RUN)
    assert document is not None
    assert not any(o.status == "dropped" for o in document.observations)


# The kill.

STAGES = ("before", "half written", "written", "aside", "swapped", "looked at", "saved")

ENGINE = """
    import asyncio, os, sys, time
    from pathlib import Path
    from store import face, observations
    from store.database import open_store
    from store.home import Home
    from backends.harness import curating
    from backends.harness.journal import Journal

    home, run, stage = Home(Path(sys.argv[1])), sys.argv[2], sys.argv[3]

    def here(name):
        if name == stage:
            print("here", flush=True)
            time.sleep(600)

    def after(owner, name, at):
        do = getattr(owner, name)
        def done(*arguments, **named):
            result = do(*arguments, **named)
            here(at)
            return result
        setattr(owner, name, done)

    class Half:
        # A write of the file that stops in the middle.
        def __init__(self, file): self.file = file
        def __enter__(self): return self
        def __exit__(self, *error): self.file.close()
        def fileno(self): return self.file.fileno()
        def flush(self): self.file.flush()
        def write(self, data):
            if stage == "half written":
                self.file.write(data[: len(data) // 2])
                self.file.flush()
                here("half written")
            self.file.write(data)

    opened = os.fdopen
    class Os:
        def __getattr__(self, name): return getattr(os, name)
        def fdopen(self, *arguments): return Half(opened(*arguments))
    face.os = Os()
    after(face, "written", "written")
    after(face.Path, "replace", "aside")
    after(face, "exchange", "swapped")
    after(face.Face, "replace", "looked at")
    save = curating._save
    async def saved(*arguments, **named):
        result = await save(*arguments, **named)
        here("saved")
        return result
    curating._save = saved

    async def work():
        with open_store(home.store) as store:
            here("before")
            await curating.match_face(Journal(store, run, time.time), home.folder(run))
            print("over", flush=True)
            await asyncio.sleep(600)

    asyncio.run(work())
"""


@pytest.mark.parametrize("stage", STAGES)
def test_an_engine_that_is_killed_in_the_middle_of_writing_the_file_loses_nothing(
    home: Home, store: Store, stage: str
) -> None:
    folder = home.folder(RUN)
    keep(store, "lock")
    said = matched(store, folder)
    folder.observations.write_text(said + "\nA line of mine.\n\n- An observation of mine.\n")
    keep(store, "retry")
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(ENGINE), str(home.root), RUN, stage], stdout=subprocess.PIPE, cwd=ROOT
    ) as engine:
        assert engine.stdout is not None
        try:
            assert engine.stdout.readline() == b"here\n"
            # It is stopped in the middle of it: whoever looks sees a whole file, the old one or the new one.
            face = folder.observations.read_text()
            assert face == (said + "\nA line of mine.\n\n- An observation of mine.\n") or face.endswith(
                (observations.text(store, RUN) or "none")[-40:]
            )
            if stage in ("swapped", "looked at"):
                # And somebody saves the new one once more, before the engine dies.
                folder.observations.write_text(face + "\n- In the last moment.\n")
        finally:
            os.kill(engine.pid, signal.SIGKILL)
    now = matched(store, folder)
    for line in ("A line of mine.", "An observation of mine.", "The lock was tried.", "The retry was tried."):
        assert now.count(line) == 1, (stage, line, now)
    if stage in ("swapped", "looked at"):
        assert now.count("In the last moment.") == 1
    # And once more, nothing changes.
    version = parse(now).version
    assert parse(matched(store, folder)).version == version


def test_an_engine_that_is_killed_at_any_moment_loses_nothing(home: Home, store: Store) -> None:
    """Killed and begun anew while somebody saves the file again and again."""
    folder = home.folder(RUN)
    keep(store, *(f"subject {number}" for number in range(30)))
    matched(store, folder)
    rng = random.Random(7)
    wrote: list[str] = []
    for number in range(6):
        keep(store, f"found {number}")
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(ENGINE), str(home.root), RUN, "never"],
            stdout=subprocess.PIPE,
            cwd=ROOT,
        ) as engine:
            try:
                line = f"Saved as number {number}."
                text = folder.observations.read_text()
                folder.observations.write_text(f"{text}\n- {line}\n")
                wrote.append(line)
                before = folder.observations.stat().st_ino
                if rng.random() < 0.7:
                    deadline = time.monotonic() + 30
                    while folder.observations.stat().st_ino == before and time.monotonic() < deadline:
                        time.sleep(0.0005)
            finally:
                os.kill(engine.pid, signal.SIGKILL)
    now = matched(store, folder)
    for line in wrote:
        assert now.count(line) == 1
    for number in range(6):
        assert f"The found {number} was tried." in now


# While an engine works.


async def test_what_is_saved_in_an_editor_is_taken_over_at_once(tmp_path: Path) -> None:
    async with rig(tmp_path, gates_open=False, generations=2) as made, made.working():
        await made.state(RunState.GATE)
        face = made.home.folder(made.run).observations
        await made.until(face.exists, "the file")
        # The watch begins with the run; the file is saved until it is seen.
        face.write_text(face.read_text() + "\n- Mine.\n")
        await made.until(lambda: "Mine." in (observations.text(made.store, made.run) or ""), "the edit is a version")
        # As vim does it: the old file is moved away, and a new one written.
        text = face.read_text()
        face.rename(face.with_name("observations.md~"))
        face.write_text(text.replace("Mine.", "Mine, in other words."))
        await made.until(
            lambda: "Mine, in other words." in (observations.text(made.store, made.run) or ""), "the second edit"
        )
        versions = observations.versions(made.store, made.run)
        assert [v.what for v in versions] == ["", "Edited observations.md.", "Edited observations.md."]


async def test_a_folder_that_cannot_be_watched_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import watchfiles

    polled: list[bool | None] = []
    watch = watchfiles.awatch

    def awatch(*paths: Path, force_polling: bool | None = None, **named: object) -> object:
        polled.append(force_polling)
        if force_polling is None:
            raise OSError("no more watches")
        return watch(*paths, force_polling=force_polling, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(watchfiles, "awatch", awatch)
    async with rig(tmp_path, gates_open=False, generations=2) as made, made.working():
        await made.state(RunState.GATE)
        face = made.home.folder(made.run).observations
        face.write_text(face.read_text() + "\n- Mine.\n")
        await made.until(lambda: "Mine." in (observations.text(made.store, made.run) or ""), "the edit is a version")
    assert polled[:2] == [None, True]


async def test_three_editors_at_once_lose_nothing(tmp_path: Path) -> None:
    """One person in vim, one on the screen, one on the command line; each works on what they last saw."""
    rounds = 8
    async with rig(tmp_path, gates_open=False, generations=2) as made, made.working() as engine:
        await made.state(RunState.GATE)
        face = made.home.folder(made.run).observations
        wrote: list[str] = []

        def kept(line: str) -> bool:
            return line in (observations.text(made.store, made.run) or "")

        async def vim() -> None:
            for number in range(rounds):
                text = face.read_text()
                await asyncio.sleep(random.Random(number).random() / 10)
                line = f"Vim says {number}."
                wrote.append(line)
                # However old what it shows is: it writes over whatever is there.
                new = face.with_name(f"swap{number}")
                new.write_text(f"{text}\n- {line}\n")
                new.replace(face)
                await made.until(partial(kept, line), line)

        async def screen() -> None:
            for number in range(rounds):
                document = observations.load(made.store, made.run)
                text = observations.text(made.store, made.run, document.version if document else 1) or ""
                await asyncio.sleep(random.Random(number + 50).random() / 10)
                line = f"The screen says {number}."
                wrote.append(line)
                head = text.replace("Way 1 does not help.", f"Way 1 does not help.\n  {line}", 1)
                version = document.version if document else 1
                assert (await made.answer(EditObservations(head, version)))[0]

        async def commands() -> None:
            for number in range(rounds):
                document = observations.load(made.store, made.run)
                assert document is not None
                await asyncio.sleep(random.Random(number + 90).random() / 10)
                line = f"The command line says {number}."
                wrote.append(line)
                changes = (do.Add(line), do.SetPriority(document.observations[0].id, list(Priority)[number % 3]))
                assert (await made.answer(ChangeObservations(document.version, changes)))[0]

        async with asyncio.TaskGroup() as people:
            for person in (vim, screen, commands):
                people.create_task(person())
        await made.answer(Launch())
        await made.over(engine)
        text = face.read_text()
        assert text == observations.text(made.store, made.run)
        assert len(wrote) == 3 * rounds
        for line in wrote:
            assert line in text, line


async def test_a_file_that_cannot_be_read_or_written_stops_no_run(tmp_path: Path) -> None:
    async with rig(tmp_path, gates_open=False, generations=2) as made, made.working() as engine:
        await made.state(RunState.GATE)
        folder = made.home.folder(made.run)
        face = folder.observations
        await made.until(face.exists, "the file")
        face.unlink()
        face.mkdir()
        document = observations.load(made.store, made.run)
        assert document is not None
        assert (await made.answer(ChangeObservations(document.version, (do.Add("Mine."),))))[0]
        await made.until(lambda: bool(read_alerts(made.store, made.run)), "the alert")
        face.rmdir()
        await made.until(lambda: face.is_file() and "Mine." in face.read_text(), "the file is there again")
        face.unlink()
        face.mkdir()
        await made.answer(Launch())
        await made.over(engine)
        (said,) = read_alerts(made.store, made.run)
        assert said.startswith(f"observations.md can't be read or written (Is a directory): {face}")
        assert "Mine." in (observations.text(made.store, made.run) or "")


def read_alerts(store: Store, run: str) -> list[str]:
    return [text for text in Journal(store, run, time.time).board.alerts if "observations.md" in text]


# In a replay.


def test_what_was_done_in_a_recorded_run_is_done_again(home: Home, store: Store) -> None:
    other = "k9k9k"
    again = Document(other, generation=1)
    again = merge(again, [replace(finding(name), attempts=(SubagentId(other, 1, 1),)) for name in ("lock", "retry")])
    store.write(lambda c: observations.save(c, again, author="observer", at=5.0))
    recorded = keep(store, "lock", "retry")
    lock, retry = (o.id for o in recorded.observations)
    past = observations.Past(store, RUN)
    steps: list[list[do.Change]] = [
        [do.Merge((lock, retry))],
        [do.Pin(lock), do.Add("Mine.")],
        [do.Undo()],
        [do.Redo()],
    ]
    for changes in steps:
        latest = observations.load(store, RUN)
        assert latest is not None
        undoes = do.takes_back(changes, past)
        changed = do.apply_all(latest, changes, past)
        store.write(partial(observations.save, document=changed, author="operator", at=6.0, undoes=undoes))
        told = select(observations.load(store, RUN) or recorded, 10_000).text
        version = len(observations.versions(store, RUN))
        asyncio.run(repeat_edits(Journal(store, other, time.time), RUN, version))
        repeated = observations.load(store, other)
        assert repeated is not None
        assert repeated.version == version
        assert select(repeated, 10_000).text == told
        assert {a.run for o in repeated.observations for a in o.attempts} == {other}
