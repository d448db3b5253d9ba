"""Ordering runs, and starting the engines that work on them."""

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from store.domain.events import EngineStarted, RunCreated
from store.domain.ids import new_run_id
from store.domain.replay import Replay
from store.domain.safe_text import safe
from store.domain.task import Task
from store.home import Home

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from store.domain.observations import Document

START_SECONDS = 60.0
"""The most that an engine may take until it works: a loaded machine imports slowly."""
LAST_WORDS = 15
"""Lines of an engine's log that are shown when it could not start."""


class EngineError(Exception):
    """An engine could not be started; the message says why and what to do."""


def create_run(
    home: Home,
    task: Task,
    *,
    title: str,
    seed: int,
    scripted: str = "",
    gates_open: bool = False,
    pace: float = 0.0,
    besides: Sequence[Path] = (),
    replay: Replay | None = None,
    mirror: Path | None = None,
    remembers: "Sequence[Document]" = (),
    remembered: Sequence[str] | None = None,
    gate_seconds: float | None = None,
) -> str:
    """Order a run: mirror the repository and write its first event. Its name. `besides` are files that don't
    count as changes of the repository, such as the task file. `replay` says whose tape answers; `mirror` is another
    run's mirror, which is taken in place of the repository. `remembers` are the observations of the runs that it starts
    from, `remembered` their names where the observations don't tell; `gate_seconds` is how long a gate waits before it
    opens by itself.

    SandboxError when the repository or the revision is not what a run can start from, StoreError when the store is not.
    """
    from backends.sandboxes import mirror_repository
    from store import events, observations, runs
    from store.database import open_store
    from store.domain.observations.carrying import carried

    home.create()
    with open_store(home.store) as store:
        taken = {row.id for row in runs.runs(store)}
        random = Random()  # noqa: S311 - a name, not a secret
        name = next(name for name in iter(lambda: new_run_id(random), "") if name not in taken)
        folder = home.folder(name)
        folder.create()
        try:
            if mirror is not None:
                shutil.copytree(mirror, folder.mirror)
                revision = task.revision
            else:
                revision = mirror_repository(
                    Path(task.repository), folder.mirror, task.revision, task.uncommitted, besides=besides
                )
        except BaseException:
            shutil.rmtree(folder.path, ignore_errors=True)
            raise
        at = time.time()
        order = RunCreated(
            task=task,
            title=title,
            revision=revision,
            seed=seed,
            scripted=scripted,
            gates_open=gates_open,
            pace=pace,
            gate_seconds=gate_seconds,
            remembered=tuple(document.run for document in remembers) if remembered is None else tuple(remembered),
            replay=replay,
        )

        def job(connection: "Connection") -> None:
            runs.create(connection, name, title, at=at)
            events.append(connection, name, [order], at=at)
            if remembers:
                observations.save(connection, carried(remembers, name), author="earlier run", at=at)

        store.write(job)
    return name


def start(home: Home, run: str, environ: Mapping[str, str]) -> int:
    """Start an engine for a run, detached from this process and its terminal. Its process id, once it works.

    EngineError when another engine works on the run, or when it could not start.
    """
    from backends.engine import TAKEN
    from store import events
    from store.database import open_store
    from store.lock import holder

    folder = home.folder(run)
    if (other := holder(folder.lock)) is not None:
        raise EngineError(
            f"An engine works on run {run} already (process {other.pid} on {other.host}). "
            f"`multitrack watch {run}` follows it."
        )
    if not folder.path.is_dir():
        raise EngineError(f"{folder.path} is gone: run {run} can be looked at, but cannot go on.")
    with open_store(home.store) as store:
        before = events.last(store, run)
        with folder.log.open("ab") as log:
            process = subprocess.Popen(
                command(home, run),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder.path,
                env=dict(environ),
                start_new_session=True,
            )
        # Whoever starts it may live on for hours: when the engine has ended, somebody must ask how.
        threading.Thread(target=process.wait, name="engine-waiter", daemon=True).start()
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            code = process.poll()
            if code == TAKEN:
                raise EngineError(f"Another engine took run {run} first.")
            if code == 0 or any(
                isinstance(event.payload, EngineStarted) and event.payload.pid == process.pid
                for event in events.read(store, after=before, run=run)
            ):
                return process.pid
            if code is not None:
                break
            time.sleep(0.02)
        else:
            process.terminate()
    raise EngineError(f"The engine of run {run} could not start. The end of {folder.log}:\n{last_words(folder.log)}")


def command(home: Home, run: str) -> list[str]:
    """The engine's command line. `-P -E`: nothing from the current folder or PYTHONPATH is imported as ours."""
    from importlib.metadata import version

    program = [sys.executable, "-P", "-E", "-m", "backends.engine"]
    return [*program, run, "--home", str(home.root), "--store", str(home.store), "--version", version("multitrack")]


def last_words(log: Path) -> str:
    """The last lines of an engine's log, safe for a terminal."""
    try:
        lines = log.read_text("utf-8", "replace").splitlines()
    except OSError:
        return "(there is no log)"
    return safe("\n".join(lines[-LAST_WORDS:]))
