"""The observer's model, asked about a run that is over: about each generation of which it was not asked to the end."""

import asyncio
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from app.failure import CommandError, Exit
from app.output import note
from store.domain.board import Board
from store.domain.events import ModelObserved
from store.domain.ids import SubagentId
from store.domain.task import Task

if TYPE_CHECKING:
    from store.database import Store
    from store.home import RunFolder

LOCK = "observer.lock"
"""Held by whoever asks, in the run's folder."""


def wanted(board: Board, model: str, url: str) -> Task:
    """The task as the model is asked about it: `model`, or else the one that it names, at `url`, or else where it says.
    CommandError."""
    if board.order is None:
        raise CommandError(
            f"run {board.run} is a bare recording, of which nothing is kept: no model is asked about it."
        )
    if board.finished is None:
        raise CommandError(
            f"run {board.run} is not over: its engine asks the model that its task file names.", Exit.UNSOLVED
        )
    task = board.order.task
    if not (name := model or task.observer_model):
        raise CommandError(f"the task of run {board.run} names no model for the observer: name one, --model NAME.")
    # Nobody else of the run's speaks to a provider here, and no other key is needed.
    return Task(
        task.goal,
        task.repository,
        task.check,
        model=name,
        observer_model=name,
        observer_limits=task.observer_limits,
        routes=task.routes,
        upstreams=task.upstreams,
        prices=task.prices,
        upstream=url or task.upstream,
    )


def ask(
    store: "Store",
    folder: "RunFolder",
    run: str,
    task: Task,
    valid: Collection[SubagentId],
    environ: Mapping[str, str],
) -> list[tuple[int, ModelObserved]]:
    """What came of asking about each generation that has an attempt that can teach, and of which the model was not
    asked to the end yet. CommandError, StoreError."""
    from app.credentials import VARIABLE, provider_environ
    from store import events
    from store.lock import RunLock

    done = {
        event.generation
        for event in events.read(store, run=run)
        if isinstance(event.payload, ModelObserved)
        and event.payload.model == task.observer_model
        and not event.payload.failed
    }
    open_ = sorted({who.generation for who in valid if who.run == run} - done)
    if not open_:
        return []
    keys = provider_environ(environ, task)
    with RunLock(folder.create().path / LOCK) as lock:
        if not lock.acquire():
            raise CommandError(f"another command asks a model about run {run} already.", Exit.UNSOLVED)
        return asyncio.run(_asked(store, folder, run, task, open_, valid, keys, keys.pop(VARIABLE, "")))


async def _asked(
    store: "Store",
    folder: "RunFolder",
    run: str,
    task: Task,
    generations: list[int],
    valid: Collection[SubagentId],
    environ: dict[str, str],
    key: str,
) -> list[tuple[int, ModelObserved]]:
    from backends.consulting import ask as asked

    note(f"multitrack: {task.observer_model} is asked about {len(generations)} of the run's generations …")
    return [one async for one in asked(store, run, folder, task, generations, valid, environ, key=key)]


def facts(generation: int, told: ModelObserved) -> dict[str, Any]:
    """What came of asking, as JSON."""
    return {
        "generation": generation,
        "model": told.model,
        "failed": told.failed,
        "changes": [{"operation": d.operation, "on": d.on, "text": d.text, "refused": d.refused} for d in told.deltas],
    }
