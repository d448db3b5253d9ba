"""Conversations about bookings, imported as `multitrack import` imports them: several attempts at one task."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.imports import bring, look
from backends.observer import Observed, check_evidence, observe
from store import observations
from store.database import Store
from store.domain.observations import Observation, Subject
from store.home import Home

Turn = str | tuple[str, dict[str, Any], str]
"""Words of the agent, or a tool with its input and its result."""


@dataclass
class Talk:
    """One attempt; `reward` is None where the file says nothing."""

    reward: float | None
    turns: Sequence[Turn]
    goal: str = "Please cancel my flight."

    def json(self, trial: int) -> dict[str, Any]:
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": self.goal},
        ]
        for number, turn in enumerate(self.turns):
            if isinstance(turn, str):
                messages += [{"role": "assistant", "content": turn}, {"role": "user", "content": f"Well, {number}."}]
                continue
            name, given, result = turn
            call = {"id": f"c{number}", "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}
            messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
            messages.append({"role": "tool", "tool_call_id": f"c{number}", "name": name, "content": result})
        said = {"task_id": 1, "trial": trial, "traj": messages}
        return said if self.reward is None else {**said, "reward": self.reward}


def imported(store: Store, home: Home, *talks: Talk) -> str:
    """The run that a file of these attempts becomes."""
    path = home.root / "talks.json"
    path.write_text(json.dumps([talk.json(trial) for trial, talk in enumerate(talks)]))
    (made,) = bring(store, home, path, look(path), observe=lambda s, run: observe(s, run, 1, at=0.0), at=1000.0)
    return made.run


def told(store: Store, home: Home, *talks: Talk) -> Observed:
    """What the observer makes of them, every quote held against its node; a second look changes nothing."""
    run = imported(store, home, *talks)
    seen = observe(store, run, 1, at=0.0)
    assert check_evidence(store, seen.document) == []
    assert all(o.evidence for o in seen.document.observations)
    known = observations.load(store, run)
    assert known is not None
    assert known.observations == seen.document.observations
    return seen


def of(seen: Observed, *subjects: Subject) -> list[Observation]:
    return [o for o in seen.document.observations if o.subject in subjects]


def home_in(folder: Path) -> Home:
    return Home(folder / "home").create()
