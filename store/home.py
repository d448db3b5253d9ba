"""Where everything lies: one home with the store, and a folder for each run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from store.errors import StoreError

VARIABLE = "MULTITRACK_HOME"


@dataclass(frozen=True)
class RunFolder:
    """The files of one run. Nothing is made until `create` is called."""

    path: Path

    @property
    def observations(self) -> Path:
        """The face of the run's observations."""
        return self.path / "observations.md"

    @property
    def report(self) -> Path:
        """The run's report."""
        return self.path / "report.md"

    @property
    def log(self) -> Path:
        """The engine's log."""
        return self.path / "engine.log"

    @property
    def lock(self) -> Path:
        """What the one engine of the run holds."""
        return self.path / "engine.lock"

    @property
    def patches(self) -> Path:
        """The folder of the subagents' patches."""
        return self.path / "patches"

    @property
    def mirror(self) -> Path:
        """The bare clone of the operator's repository."""
        return self.path / "repository.git"

    @property
    def sandboxes(self) -> Path:
        """The folder of the subagents' workspaces."""
        return self.path / "sandboxes"

    def create(self) -> "RunFolder":
        """Make the folders, for their user alone. StoreError when that can't be done."""
        for folder in (self.path.parent, self.path, self.patches, self.sandboxes):
            _make(folder)
        return self


@dataclass(frozen=True, init=False)
class Home:
    """The folder under which everything lies. A store that is named explicitly may lie elsewhere; run folders stay."""

    root: Path
    store: Path

    def __init__(self, root: Path, store: Path | None = None) -> None:
        root = root.expanduser().absolute()
        object.__setattr__(self, "root", root)
        object.__setattr__(self, "store", root / "store.sqlite3" if store is None else store.expanduser().absolute())

    @classmethod
    def default(cls, environ: Mapping[str, str], store: Path | None = None) -> "Home":
        """The home that the environment names, or else the user's data folder."""
        if named := environ.get(VARIABLE):
            return cls(Path(named), store)
        from platformdirs import user_data_path

        return cls(user_data_path("multitrack", appauthor=False), store)

    def folder(self, run: str) -> RunFolder:
        """The folder of a run. ValueError for a name that is no run's."""
        if not run or run in {".", ".."} or "/" in run or "\0" in run:
            raise ValueError(f"{run!r} cannot be the name of a run")
        return RunFolder(self.root / "runs" / run)

    def create(self) -> "Home":
        """Make the folder, and the store's, for their user alone. StoreError when that can't be done."""
        _make(self.root)
        _make(self.store.parent)
        return self


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"The folder {folder} cannot be made ({error.strerror}). Make its parent writable, or set {VARIABLE}."
        ) from error
