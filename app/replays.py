"""Replays: runs that are answered from another run's tape. Ordering one, and how it came out."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.engines import create_run
from app.failure import CommandError
from app.output import counted, table
from store.domain.board import Board
from store.domain.replay import OnMismatch, Replay, Replayed, playable, replayed
from store.domain.safe_text import safe_line
from store.domain.task import Dirt
from store.home import Home
from store.lock import holder

if TYPE_CHECKING:
    from store.database import Store


def order_replay(home: Home, store: "Store", recorded: Board, replay: Replay) -> str:
    """Order a replay of a run: its task, revision, strategies and seed, as many generations as it came to, and gates
    that open by themselves. Its name. CommandError when there is nothing to play, SandboxError without a repository."""
    from store import observations
    from store.tapes import calls

    run, order = recorded.run, recorded.order
    if order is None:
        raise CommandError(
            f"run {run} is a bare recording, without subagents: `multitrack proxy --replay {run}` plays it."
        )
    if holder(home.folder(run).lock) is not None:
        raise CommandError(f"an engine works on run {run}. `multitrack stop {run}` ends it, or wait until it is over.")
    if not any(playable(call) for call in calls(store, run=run)):
        raise CommandError(f"run {run} has no calls on its tape: there is nothing to play.")
    mirror = home.folder(run).mirror
    task = replace(
        order.task,
        repository=_repository(home, order.task.repository, order.scripted),
        revision=order.revision,
        uncommitted=Dirt.REFUSE,
        generations=len(recorded.generations),
        # Whoever is told of a run's end was told when it ended.
        on_finish="",
    )
    return create_run(
        home,
        task,
        title=f"Replay of {run}: {order.title}",
        seed=order.seed,
        scripted=order.scripted,
        gates_open=True,
        replay=replay,
        # What it remembered is its first version, whatever became of those runs.
        remembers=[first] if order.remembered and (first := observations.load(store, run, 1)) is not None else (),
        remembered=order.remembered,
        mirror=mirror if mirror.is_dir() else None,
    )


def _repository(home: Home, repository: str, scripted: str) -> str:
    """Where the repository is by now: a practice bug's can be made anew, with the same commits."""
    from app.demo import practice_repository
    from backends.practice import TASKS

    if Path(repository).is_dir() or scripted not in TASKS:
        return repository
    return str(practice_repository(home.root / "practice" / scripted, scripted).repository)


def outcome(store: "Store", board: Board) -> Replayed | None:
    """How a replay stands beside its run; None for a run that is no replay, or whose run is gone."""
    from store import events
    from store.tapes import calls

    if board.order is None or board.order.replay is None:
        return None
    then = Board(board.order.replay.run)
    for event in events.read(store, run=then.run):
        then.apply(event)
    if then.order is None:
        return None
    return replayed(then, board, calls(store, run=then.run), calls(store, run=board.run))


def facts(played: Replayed) -> dict[str, Any]:
    """A replay in numbers."""
    return {
        "of": played.run,
        "faithful": played.faithful,
        "matched": played.matched,
        "soft": played.soft,
        "missed": played.missed,
        "unused": played.unused,
        "lanes": [
            {
                "subagent": lane.label,
                "then": lane.then,
                "now": lane.now,
                "same": lane.same,
                "matched": lane.matched,
                "soft": lane.soft,
                "missed": lane.missed,
                "unused": lane.unused,
            }
            for lane in played.lanes
        ],
    }


def say_outcome(store: "Store", board: Board, played: Replayed) -> None:
    """Print how a replay stands beside its run, and the first difference where there is one."""
    from app.output import say

    say()
    say(f"Beside run {played.run}:")
    table(
        ("subagent", "then", "now", "matched", "soft", "missed", "unused"),
        [
            (lane.label, lane.then or "–", lane.now or "–", lane.matched, lane.soft, lane.missed, lane.unused)
            for lane in played.lanes
        ],
        right=(3, 4, 5, 6),
    )
    total = played.matched + played.soft + played.missed
    verdicts = "every verdict the same" if not played.differing else f"{counted(played.differing, 'verdict')} differ"
    say(f"{played.matched} of {counted(total, 'call')} matched, {played.unused} recorded not used, {verdicts}.")
    if played.missed or played.soft:
        _say_difference(store, board)


def _say_difference(store: "Store", board: Board) -> None:
    from app.output import say
    from store.domain.safe_text import safe
    from store.tapes import calls

    for call in calls(store, run=board.run):
        if call.notes:
            who = call.subagent.label if call.subagent is not None else ""
            say(f"The first difference, in {who} (call {call.id}; - recorded, + asked):")
            say(safe("\n".join(call.notes)))
            return


def said(replay: Replay) -> str:
    """A replay's order in words."""
    miss = "goes live" if replay.on_mismatch is OnMismatch.LIVE else "ends the run"
    return safe_line(f"Answered from the tape of run {replay.run}; what is not on it {miss}.")
