"""The demo's orders: a practice bug, the scripted model, five generations of five."""

import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

from backends.practice import MODEL, PracticeTask, make_repository
from store.domain.limits import Limits
from store.domain.task import Check, Memory, Task
from store.home import Home

GENERATIONS = 5
LANES = 5
CLEAN_LANES = 1
TURNS = 11
"""Room for three tries out of more than twenty: one attempt alone hardly ever gets there."""
CHECK_SECONDS = 60.0
LIVE_PACE = 60.0
"""Words a second on a screen: quick, and still to be read."""


def demo_task(home: Home, practice: str, *, memory: Memory = Memory.OWN, generations: int = GENERATIONS) -> Task:
    """The task of a demo run. The practice repository is made under the home, unless it is there already."""
    made = practice_repository(home.root / "practice" / practice.replace(":", "-"), practice)
    return Task(
        goal=made.goal,
        repository=str(made.repository),
        check=Check(made.check, CHECK_SECONDS, made.protected),
        revision=made.revision,
        generations=generations,
        lanes=LANES,
        clean_lanes=CLEAN_LANES,
        memory=memory,
        stop_when_solved=False,
        model=MODEL,
        limits=Limits(turns=TURNS, tokens=1_000_000, usd=2.0, seconds=600.0),
        run_limits=Limits(usd=50.0, seconds=3600.0),
    )


def practice_repository(folder: Path, practice: str) -> PracticeTask:
    """The practice bug's repository. Made anew beside the folder and moved there, so that no half of one is used; the
    operator may have tried a patch in the one that is there, which stays as it is."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = Path(mkdtemp(prefix=".making-", dir=folder.parent))
    made = make_repository(practice, fresh / "repository")
    if not folder.exists():
        made.repository.rename(folder)
    shutil.rmtree(fresh, ignore_errors=True)
    return replace(made, repository=folder)
