"""The rules over a log that grows: what reaches them from the tape, and that an alert is raised once, kill or not."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.nodes import describe
from app.spots import OfEvent
from backends.rules import Rules, found
from store import blobs, events, runs
from store.database import Store, open_store
from store.domain.board import Board
from store.domain.events import (
    Alert,
    CallFinished,
    CallStarted,
    Event,
    GenerationDesigned,
    Payload,
    Reference,
    RunCreated,
    SubagentEnded,
    SubagentLaunched,
    SubagentRestarted,
    ToolFinished,
    ToolStarted,
    TurnStarted,
)
from store.domain.ids import SubagentId
from store.domain.limits import Limits, Spend, Usage
from store.domain.states import AlertLevel, Ending
from store.domain.strategy import LanePlan, Strategy
from store.domain.task import Check, Task
from store.home import Home
from store.recording import CallEnd, CallStart, close_call, open_call
from tests.shop import Here, here, nowhere
from widgets.ink import Line

__all__ = ["here", "nowhere"]

RUN = "7k3ab"
WHO = SubagentId(RUN, 1, 1)
PLANS = tuple(LanePlan(lane, Strategy(f"way {lane}", ""), clean=False) for lane in (1, 2))
TASK = Task("mend it", "/r", Check("make check"), limits=Limits(turns=8))


class Log:
    """A run's log, and the tape of its first subagent, as an agent writes them."""

    def __init__(self, store: Store, at: float = 1000.0) -> None:
        self.store, self.at, self.turns = store, at, 0
        self._said: list[object] = [{"role": "user", "content": "Begin."}]
        store.write(lambda connection: runs.create(connection, RUN, "a run", at=at))
        self.add(RunCreated(TASK, "a run", "0" * 40, 1))
        self.add(GenerationDesigned(PLANS), generation=1)
        self.launch()

    def add(self, *payloads: Payload, generation: int | None = None, lane: int | None = None) -> None:
        self.at += 0.1
        self.store.write(lambda c: events.append(c, RUN, payloads, at=self.at, generation=generation, lane=lane))

    def tell(self, *payloads: Payload) -> None:
        self.add(*payloads, generation=1, lane=1)

    def launch(self, attempt: int = 1, *, afresh: bool = False) -> None:
        self.tell(SubagentLaunched("/sandbox", "m", attempt=attempt, afresh=afresh))

    def turn(self, tool: str, given: dict[str, object], result: str, *, ok: bool = True) -> None:
        """One turn: a call that asks for a tool, and the tool's result."""
        self.turns += 1
        call, use = f"c{self.turns}", f"t{self.turns}"
        answer = {"role": "assistant", "content": [{"type": "tool_use", "id": use, "name": tool, "input": given}]}
        body = {"model": "m", "max_tokens": 9, "tools": [{"name": tool}], "messages": self._said}
        start = CallStart(call, self.at, RUN, WHO, "anthropic", "POST", "/v1/messages", json.dumps(body).encode())
        end = CallEnd(call, self.at + 0.05, 200, complete=True, messages=[answer], usage=Usage(10, 5), response=b"x")
        self.tell(TurnStarted(self.turns), CallStarted(call, "m"))
        self.store.write(lambda connection: open_call(connection, start))
        self.store.write(lambda connection: close_call(connection, end))
        self.tell(CallFinished(call, 200, "tool_use", Usage(10, 5), 0.01, 0.05), ToolStarted(self.turns, use, tool, ""))
        digest = self.store.write(lambda connection: blobs.put(connection, result.encode()))
        self.tell(ToolFinished(self.turns, use, tool, ok, 0.1, digest, result[:20]))
        back = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use, "content": result}]}
        self._said += [answer, back]

    def check(self, result: str = "exit code 1\n3 broken") -> None:
        self.turn("run", {"command": "make check"}, result)

    def edit(self, old: str, new: str) -> None:
        self.turn("edit", {"path": "a.py", "old": old, "new": new}, "edited")

    def alerts(self) -> list[Alert]:
        return [event.payload for event in events.read(self.store, run=RUN) if isinstance(event.payload, Alert)]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with open_store(Home(tmp_path).create().store) as store:
        yield Log(store)


def engine(log: Log, *, dies_after: int | None = None) -> Rules:
    """The rules as an engine has them; it may die when it has raised so many alerts."""
    raised = 0

    async def record(alert: Alert, /, *, subagent: SubagentId) -> None:
        nonlocal raised
        if dies_after is not None and raised >= dies_after:
            raise asyncio.CancelledError
        raised += 1
        log.add(alert, generation=subagent.generation, lane=subagent.lane)

    return Rules(log.store, RUN, record, lambda: log.at)


async def test_alerts_come_as_the_log_grows_with_the_places_that_show_it(log: Log) -> None:
    rules = engine(log)
    log.check()
    await rules.look()
    assert log.alerts() == []
    log.check("exit code 1\n3 broken  (0.2s)")
    log.check("exit code 1\n3  broken (0.9s)")
    await rules.look()
    assert [(one.rule, one.level) for one in log.alerts()] == [("same-call", AlertLevel.NOTE)]
    log.check("exit code 1\n3 broken (0.4s)")
    await rules.look()
    alert = log.alerts()[1]
    assert (alert.rule, alert.level) == ("same-call", AlertLevel.WARNING)
    assert [one.call for one in alert.evidence] == ["c2", "c3", "c4"]
    finished = [event.seq for event in events.read(log.store, run=RUN) if isinstance(event.payload, ToolFinished)]
    assert [one.seq for one in alert.evidence] == finished[1:]
    assert all(one.node for one in alert.evidence)


async def test_an_edit_between_is_no_loop(log: Log) -> None:
    for number in range(3):
        log.check()
        log.edit(f"a{number}", f"b{number}")
    await engine(log).look()
    assert log.alerts() == []


@pytest.mark.parametrize("dies_after", [0, 1, 2, 3, 4])
async def test_no_alert_twice_and_none_lost_when_the_engine_is_killed(log: Log, dies_after: int) -> None:
    for _ in range(4):
        log.turn("read", {"path": "gone.py"}, "there is no file gone.py", ok=False)
    doomed = engine(log, dies_after=dies_after)
    if dies_after < 5:
        with pytest.raises(asyncio.CancelledError):
            await doomed.look()
    assert len(log.alerts()) == dies_after
    log.launch(2)
    await engine(log).look()
    await engine(log).look()
    told = [(one.rule, one.level, one.evidence) for one in log.alerts()]
    assert len(told) == len(set(told)) == 5
    assert {rule for rule, _, _ in told} == {"same-call", "same-error"}
    assert [one.alert for one in found(log.store, RUN)] == log.alerts(), "the log alone says what was raised"


async def test_who_is_waited_for_is_told_of_once(log: Log) -> None:
    rules = engine(log)
    log.at += 60
    await rules.look()
    assert log.alerts() == []
    log.at += 61
    await rules.look()
    await rules.look()
    await engine(log).look()
    log.tell(SubagentEnded(Ending.NEVER_STARTED, "codex: command not found", Spend()))
    await rules.look()
    (alert,) = log.alerts()
    assert (alert.rule, alert.level) == ("never-started", AlertLevel.STUCK)
    (where,) = alert.evidence
    launched = next(event for event in events.read(log.store, run=RUN) if isinstance(event.payload, SubagentLaunched))
    assert where.seq == launched.seq


async def test_the_budget_is_that_of_the_board(log: Log) -> None:
    for number in range(6):
        log.turn("read", {"path": f"{number}.py"}, "lines")
    await engine(log).look()
    (alert,) = log.alerts()
    assert (alert.rule, alert.text) == ("no-check", "75% of its turn limit is used up, and the check has not run once")


async def test_started_anew_it_is_another_attempt(log: Log) -> None:
    log.check()
    log.tell(SubagentRestarted())
    log.launch(2, afresh=True)
    log.check()
    await engine(log).look()
    assert log.alerts() == []


async def test_what_the_tape_no_longer_has_stops_nothing(log: Log) -> None:
    for turn in range(3):
        log.tell(TurnStarted(turn), CallFinished("gone", 200, "", Usage(), None, 1.0))
        log.tell(ToolFinished(turn, "t", "run", True, 0.1, "0" * 40, "exit code 1 · 3 broken"))
    await engine(log).look()
    assert [alert.rule for alert in log.alerts()] == ["same-call", "same-call", "same-error"]


async def test_work_waits_for_what_the_rules_have_to_say(log: Log) -> None:
    rules = engine(log)
    log.check()
    log.check()
    work = rules.before(lambda: len(log.alerts()))
    assert await asyncio.to_thread(work) == 1


async def test_a_fault_of_the_rules_is_not_the_runs(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    async def refuse(alert: Alert, /, *, subagent: SubagentId) -> None:
        raise ValueError("no")

    rules = Rules(log.store, RUN, refuse, lambda: log.at)
    log.check()
    log.check()
    await rules.settle()
    assert "could not go on" in caplog.text
    await asyncio.wait_for(rules.follow(), 5)


# The command line.


def test_alerts_are_printed_with_their_evidence(here: Here) -> None:
    assert here("alerts", RUN) == (0, f"No alert was raised in run {RUN}.\n", "")
    here.add(Alert("same-call", "the same \x1b[31mcall"), generation=1, lane=2)
    here.add(Alert("host", "a host is gone"))
    code, out, _ = here("alerts", RUN, "--json")
    told = json.loads(out)
    assert code == 0
    assert [(one["subagent"], one["rule"], one["level"], one["recorded"]) for one in told] == [
        ("1.2", "same-call", "warning", True),
        (None, "host", "warning", True),
    ]
    assert "\x1b" not in here("alerts", RUN)[1]


def test_tapes_that_nobody_watched_are_read_on_demand(here: Here) -> None:
    finished = [ToolFinished(turn, f"t{turn}", "run", False, 5.0, "", "timed out after 5 s") for turn in range(3)]
    here.add(*finished, generation=1, lane=2)
    assert json.loads(here("alerts", RUN, "--json")[1]) == []
    told = json.loads(here("alerts", RUN, "--again", "--json")[1])
    assert {one["rule"] for one in told if one["subagent"] == "1.2"} >= {"timeouts", "same-error"}
    assert not any(one["recorded"] for one in told)
    assert "* not on record" in here("alerts", RUN, "--again")[1]


def test_an_imported_conversation_is_judged_when_it_is_asked_for(here: Here) -> None:
    talk: list[dict[str, object]] = [{"role": "user", "content": "Mend my booking."}]
    for name in "abc":
        call = {"id": name, "type": "function", "function": {"name": "get_user", "arguments": json.dumps({"id": name})}}
        talk += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": name, "content": f"Error: no user {name}"},
        ]
    for _ in range(3):
        talk += [{"role": "assistant", "content": "Who are you?"}, {"role": "user", "content": "I am Ada."}]
    (here.repository.parent / "talk.json").write_text(json.dumps(talk), "utf-8")
    (run,) = json.loads(here("import", "talk.json", "--json")[1])["runs"]
    told = json.loads(here("alerts", run["run"], "--json")[1])
    assert [(one["subagent"], one["rule"], one["recorded"]) for one in told] == [("1.1", "errors", False)]


# In the tree.


async def test_an_alert_shows_what_it_rests_on(log: Log) -> None:
    log.check()
    log.edit("a", "b")
    log.check()
    log.check()
    await engine(log).look()
    event = next(event for event in events.read(log.store, run=RUN) if isinstance(event.payload, Alert))
    drawn = text_of(describe(log.store, Board(RUN), OfEvent(event)))
    assert "· note  same-call" in drawn
    assert "The same call 2 times, each with the same result: run make check" in drawn
    assert "turn 3   › run make check  exit code 1\n3 broken"[:30] in drawn
    assert "m steer" in drawn


def test_an_alert_without_evidence_and_one_whose_place_is_gone(log: Log) -> None:
    event = Event(99, 0.0, RUN, 1, 1, Alert("odd", "said \x1b[31mred"))
    assert "\x1b" not in text_of(describe(log.store, Board(RUN), OfEvent(event)))
    gone = Alert("same-call", "x", (Reference("c", "f" * 40, 999), Reference()))
    drawn = text_of(describe(log.store, Board(RUN), OfEvent(Event(99, 0.0, RUN, 1, 1, gone))))
    assert drawn.count("no longer on record") == 2


def text_of(lines: list[Line]) -> str:
    return "\n".join("".join(text for text, _ in line) for line in lines)
