"""What every command is given: whose home and store it works on, and how it finds a run there."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from app.failure import CommandError, Exit

if TYPE_CHECKING:
    from app.settings import Configuration
    from app.whereabouts import Kept
    from store.database import Store
    from store.domain.board import Board
    from store.home import Home
    from store.runs import RunRow

TASK_FILE = "multitrack.toml"
NOTHING_YET = (
    "`multitrack demo` makes a first run, `multitrack run` one on your own repository, and `multitrack exec -- "
    "COMMAND` records any command."
)


@dataclass(frozen=True)
class Context:
    """`environ` is the caller's environment, with `--home` in it as MULTITRACK_HOME. `store_path` is `--store`."""

    environ: Mapping[str, str]
    store_path: Path | None = None
    debug: bool = False

    @cached_property
    def home(self) -> "Home":
        """The home that the command line or the environment names, by default the user's data folder."""
        from store.home import Home

        home = Home.default(self.environ)
        return home if self.store_path is None else Home(home.root, self.store_path)

    @cached_property
    def configuration(self) -> "Configuration":
        """Where the operator's settings are."""
        from app.settings import Configuration

        return Configuration.default(self.environ)

    @cached_property
    def kept(self) -> "Kept":
        """Where the app notes where the operator was."""
        from app.whereabouts import Kept

        return Kept.default(self.environ, self.home)

    @property
    def empty(self) -> bool:
        """Nothing was ever recorded here. Asking does not make a store."""
        return not self.home.store.exists()

    @contextmanager
    def store(self, *, create: bool = False) -> Iterator["Store"]:
        """The open store. CommandError when there is none, unless it may be created."""
        from store.database import open_store

        if self.empty and not create:
            raise CommandError(f"nothing is recorded in {self.home.store} yet. {NOTHING_YET}")
        opened = open_store(self.home.store)
        try:
            yield opened
        finally:
            opened.close()


def find_run(store: "Store", name: str) -> "RunRow":
    """The run of that name, of that unique beginning, or the `last` one. CommandError that says what there is."""
    from store.database import StoreError
    from store.runs import find

    try:
        return find(store, name)
    except StoreError as error:
        raise CommandError(str(error), Exit.USAGE) from error


def read_board(store: "Store", run: str) -> "Board":
    """The run as its events tell it."""
    from store.domain.board import Board
    from store.events import read

    board = Board(run)
    for event in read(store, run=run):
        board.apply(event)
    return board
