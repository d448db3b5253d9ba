"""What is being written of observations, kept in the run's folder until it is handed in or left: a screen that is
closed, or killed, loses nothing of it. No Textual.

Each draft is a file of its own, whose lock is held by the screen that writes it; a file whose lock is free was left.
What can't be written costs the keeping alone.
"""

import json
import os
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from app.drafting import Draft, Kind
from store.domain.observations.conflicts import Conflict
from store.errors import StoreError
from store.home import RunFolder
from store.lock import RunLock

MOST = 20
"""Drafts of one run that are kept beside each other."""


class Unsaved:
    """The draft of one screen, of one run."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder.path / "drafts"
        self._lock: RunLock | None = None
        self._written = ""

    @property
    def path(self) -> Path | None:
        """The file, where there is one."""
        return self._lock.path.with_suffix(".json") if self._lock is not None else None

    def left(self) -> tuple[Draft, str] | None:
        """Take over what a screen left that is gone: the draft, and what was written. None where there is nothing."""
        for number in range(1, MOST + 1):
            file = self._folder / f"{number}.json"
            if file.exists() and self._take(number):
                with suppress(OSError):
                    self._written = file.read_text("utf-8")
                    if (found := _read(self._written)) is not None:
                        return found
                self.forget()
        return None

    def keep(self, draft: Draft, text: str) -> None:
        """Keep what is written now, as a whole or not at all."""
        if self._lock is None and not any(
            not (self._folder / f"{number}.json").exists() and self._take(number) for number in range(1, MOST + 1)
        ):
            return
        file, said = self.path, json.dumps({**asdict(draft), "text": text}) + "\n"
        if file is None or said == self._written:
            return
        with suppress(OSError, UnicodeError):
            part = file.with_suffix(".part")
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
                out.write(said)
            part.replace(file)
            self._written = said

    def forget(self) -> None:
        """It was handed in, or left."""
        if self.path is not None:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Leave it to whoever comes next."""
        if self._lock is not None:
            with suppress(OSError):
                self._lock.release()
        self._lock, self._written = None, ""

    def _take(self, number: int) -> bool:
        lock = RunLock(self._folder / f"{number}.lock")
        with suppress(OSError, StoreError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if lock.acquire():
                self._lock = lock
                return True
        return False


def _read(text: str) -> tuple[Draft, str] | None:
    """What a file says; None where it is broken."""
    try:
        said = json.loads(text)
        conflict = said["conflict"]
        draft = Draft(
            Kind(said["kind"]),
            tuple(map(str, said["ids"])),
            int(said["base"]),
            str(said["before"]),
            Conflict(*(str(conflict[name]) for name in ("id", "field", "value", "said"))) if conflict else None,
        )
        if not draft.ids and draft.kind not in (Kind.ADD, Kind.FILE):
            return None
        return draft, str(said["text"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
