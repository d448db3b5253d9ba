"""A whole run with an observer's model: a real engine, the built-in agent, and a task file, against an upstream on
loopback that plays a script."""

import asyncio
import re
from pathlib import Path

import pytest

from app.cli import main
from app.engines import create_run
from app.replays import order_replay
from app.taskfile import load
from store import observations, tapes
from store.database import open_store
from store.domain.board import Board
from store.domain.events import ModelObserved
from store.domain.ids import OBSERVER, SubagentId
from store.domain.limits import Spend
from store.domain.observations import Author, Document
from store.domain.replay import Replay
from store.domain.states import RunState
from store.domain.tape import Call
from store.home import Home
from tests import runs
from tests.harnessrig import make_repository
from tests.observermodel import add, answer
from tests.upstreams import Fault, Heard, Said, Upstream, Use

KEY = "sk-of-the-operator-for-all"
LESSON = "The check compares the file `answer` with 42, and the file says 41 from the start."

TASK = """
[task]
goal = "Make it 42."
repository = "theirs"
[check]
command = "./check"
protected = ["check"]
[generations]
count = 2
lanes = 2
clean = 1
[model]
name = "claude-sonnet-5-5"
upstream = "URL"
[observer]
model = "reader"
[[prices]]
model = "reader"
input = 2
output = 10
[[prices]]
model = "gpt-5.1"
input = 2
output = 10
"""

ROUTE = """
[[routes]]
model = "reader"
deployments = ["openai/gpt-5.1@far"]
[[upstreams]]
name = "far"
url = "URL/v1"
key = "FAR_KEY"
"""


def observer(heard: Heard) -> Said:
    """Searches once, then adds a lesson; what is refused it does not mend."""
    if heard.turns == 0:
        return [Use("search", {"query": "answer"})]
    if not heard.results:
        return [answer()]
    found = re.search(
        r"^\[(n\d+)\] 1\.\d turn \d+, a tool printed:\n`{3,}\n(.*?)\n`{3,}$", heard.results[0], re.M | re.S
    )
    assert found is not None, heard.results[0]
    quote = next(line for line in found[2].split("\n") if "says 41" in line)
    return [answer(add(LESSON, (found[1], quote)))]


def subagent(heard: Heard) -> Said:
    """Looks, and in the second generation writes what the lesson says, where it is told."""
    if heard.turns == 0:
        return [Use("run", {"command": "echo the answer says $(cat answer)"})]
    if heard.turns == 1 and LESSON in heard.everything:
        return [Use("run", {"command": "echo 42 > answer"})]
    if heard.turns == 1:
        return [Use("run", {"command": "echo 40 > answer"})]
    return [Use("submit", {"summary": "done"})]


def plays(heard: Heard) -> Said:
    return observer(heard) if heard.tools == ("search",) else subagent(heard)


async def ran(folder: Path, script: object, more: str = "") -> tuple[Home, Board, Upstream]:
    make_repository(folder / "theirs")
    home = Home(folder / "home").create()
    async with Upstream(script).serving() as upstream:  # type: ignore[arg-type]
        file = folder / "multitrack.toml"
        file.write_text((TASK + more).replace("URL", upstream.base_url), encoding="utf-8")
        run = create_run(home, load(file), title="A test", seed=3, scripted="", gates_open=True)
        board = await asyncio.to_thread(runs.finish, home, run)
    return home, board, upstream


def of(home: Home, run: str) -> tuple[Document, list[Call], list[ModelObserved], Spend]:
    with open_store(home.store) as store:
        document = observations.load(store, run)
        assert document is not None and tapes.verify(store, run) == []
        told = [e.payload for e in runs.log(home, run) if isinstance(e.payload, ModelObserved)]
        return document, tapes.calls(store, subagent=SubagentId(run, 1, OBSERVER)), told, tapes.spend(store, run)


@pytest.mark.parametrize("more", ["", ROUTE], ids=["direct", "by LiteLLM"])
async def test_the_next_generation_reads_what_the_model_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], more: str
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("FAR_KEY", KEY)
    home, board, upstream = await ran(tmp_path, plays, more)
    log = home.folder(board.run).log.read_text()
    assert board.finished is not None and board.finished.state is RunState.SOLVED, log
    document, calls, told, spend = of(home, board.run)
    (lesson,) = [o for o in document.observations if o.author is Author.MODEL]
    assert lesson.text == LESSON and lesson.first == 1
    assert [[(d.operation, d.on, d.refused) for d in one.deltas] for one in told] == [
        [("ADD", lesson.id, "")],
        [("ADD", "", f"{lesson.id} says that already.")],
    ]
    assert not any(one.failed for one in told)
    solved = [lane.plan.clean for lane in board.generations[2].lanes.values() if lane.solved]
    assert solved == [False], "the lane with memory alone"
    # The calls are on a tape of their own and on the run's bill.
    own = [call for call in calls if call.parent is None]
    assert [call.model for call in own] == ["reader"] * 2
    made = [call for call in calls if call.parent is not None]
    assert [call.model for call in made] == (["gpt-5.1"] * 2 if more else [])
    used = board.generations[1].observing
    assert used.turns == 2 and used.usd > 0
    total = board.spent(0.0)
    assert total.usage == spend.usage and total.usd == pytest.approx(spend.usd)
    assert total.usd > sum(lane.spend.usd for lane in board.lanes)
    report = home.folder(board.run).report.read_text()
    assert "`reader` (observer)" in report
    asked = [heard for heard in upstream.heard if heard.tools == ("search",)]
    assert {heard.path for heard in asked} == {"/v1/chat/completions" if more else "/v1/messages"}
    assert KEY not in "".join(heard.everything for heard in upstream.heard)
    # A person can look at them as at any other's.
    assert main(["--home", str(home.root), "trace", board.run]) == 0
    assert "1.0  the observer's model reader  2 turns, $0.0" in capsys.readouterr().out
    assert main(["--home", str(home.root), "trace", board.run, "1.0"]) == 0
    one = capsys.readouterr().out
    assert one.count("turn ") >= 2 and "call search" in one and LESSON[:30] in one
    # Its tape answers without anybody: the same questions, the same lesson.
    with open_store(home.store) as store:
        again = order_replay(home, store, board, Replay(board.run))
    replayed = await asyncio.to_thread(runs.finish, home, again)
    log = home.folder(again).log.read_text()
    assert replayed.finished is not None and replayed.finished.state is RunState.SOLVED, log
    document, played, told, _ = of(home, again)
    assert [call.source for call in played] == [f"tape:{call.id}" for call in own]
    assert [o.text for o in document.observations if o.author is Author.MODEL] == [LESSON]
    assert replayed.generations[1].observing.usd == 0.0


async def test_a_model_that_fails_leaves_what_the_rules_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)

    def script(heard: Heard) -> Said:
        if heard.tools == ("search",):
            return Fault(400, "invalid_request_error", "reader: no such model")
        return subagent(heard)

    home, board, _ = await ran(tmp_path, script)
    assert board.finished is not None and board.finished.state is RunState.UNSOLVED
    document, _, told, _ = of(home, board.run)
    assert document.observations and all(o.author is Author.OBSERVER for o in document.observations)
    assert len(told) == 2 and all("no such model" in one.failed for one in told)
    assert any("no such model" in alert for alert in board.alerts)
    assert board.generations[1].observed is not None and board.generations[1].observed.added


async def test_an_engine_that_is_killed_while_it_asks_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    make_repository(tmp_path / "theirs")
    home = Home(tmp_path / "home").create()
    async with Upstream(plays).serving() as upstream:
        file = tmp_path / "multitrack.toml"
        file.write_text(TASK.replace("URL", upstream.base_url).replace("count = 2", "count = 1"), encoding="utf-8")
        run = create_run(home, load(file), title="A test", seed=3, scripted="", gates_open=True)

        def killed() -> None:
            with open_store(home.store) as store, runs.engine(home, run) as process:
                runs.until_event(store, run, "observer.asked", after=0, process=process)
                runs.kill(process)

        await asyncio.to_thread(killed)
        board = await asyncio.to_thread(runs.finish, home, run)
    assert board.finished is not None and board.finished.state is RunState.UNSOLVED
    document, calls, told, _ = of(home, run)
    assert [o.text for o in document.observations if o.author is Author.MODEL] == [LESSON]
    assert len(told) == 1 and told[0].failed == "" and all(call.ended is not None for call in calls)
    with open_store(home.store) as store, store.read() as connection:
        alive = connection.exec_driver_sql("SELECT count(*) FROM virtual_keys WHERE revoked IS NULL").scalar_one()
    assert alive == 0
