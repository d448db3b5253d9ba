"""The operator's commands: each is carried out once, answered, and not forgotten when its engine dies."""

import time
from pathlib import Path

import pytest
from sqlalchemy import Connection

from backends.agents import Assignment, Outcome, Session
from backends.harness.ports import Observed
from store import commands, observations
from store.domain.commands import (
    COMMANDS,
    ChangeObservations,
    Command,
    Continue,
    EditObservations,
    Kill,
    Launch,
    Pause,
    Stop,
)
from store.domain.events import (
    CommandSettled,
    GatePassed,
    GenerationDesigned,
    RunFinished,
    SubagentEnded,
    SubagentPaused,
    TurnStarted,
)
from store.domain.observations import Status, live
from store.domain.observations import changes as do
from store.domain.observations.conflicts import conflicts
from store.domain.states import Ending, RunState, SubagentState
from tests.harnessrig import Rig, hang, nothing, rig, solve

SLOW = "#!/bin/sh\nsleep 1000\n"


async def turns(assignment: Assignment, session: Session) -> Outcome:
    """Turns without end, each recorded."""
    turn = 0
    while (ending := await session.before_turn()) is None:
        turn += 1
        await session.record(TurnStarted(turn))
        await session.sandbox.run("sleep 0.02", seconds=10)
    return Outcome(ending)


def take(made: Rig, order: int) -> None:
    """An engine has taken the order and said so, and died before it carried it out."""

    def job(connection: Connection) -> None:
        assert commands.settle(connection, order, applied=True, outcome="taken", at=0.0)

    made.store.write(job)


async def test_a_kill_ends_one_lane_and_its_work_still_counts(tmp_path: Path) -> None:
    async def work(assignment: Assignment, session: Session) -> None:
        if assignment.subagent.lane == 1:
            await solve(assignment, session)
            await hang(assignment, session)

    async with rig(tmp_path, work, lanes=2) as made, made.working() as engine:
        await made.until(lambda: made.home.folder(made.run).sandboxes.exists(), "sandboxes")
        await made.until(lambda: lane_state(made, 1) is SubagentState.RUNNING, "lane 1")
        assert await made.answer(Kill(1, 1)) == (True, "1.1 is killed.")
        board = await made.over(engine)
        lane = board.generations[1].lanes[1]
        assert lane.ended is not None
        assert (lane.ended.ending, lane.ended.detail) == (Ending.KILLED, "Killed by the operator.")
        assert lane.state is SubagentState.SOLVED, "what it left passes the check"
        other = board.generations[1].lanes[2].ended
        assert other is not None and other.ending is Ending.SUBMITTED


def lane_state(made: Rig, lane: int, generation: int = 1) -> SubagentState | None:
    latest = made.board.generations.get(generation)
    return latest.lanes[lane].state if latest else None


async def test_a_kill_that_was_taken_is_carried_out_by_the_next_engine(tmp_path: Path) -> None:
    async with rig(tmp_path, hang) as made:
        async with made.working():
            await made.until(lambda: lane_state(made, 1) is SubagentState.RUNNING, "the lane")
        take(made, made.order(Kill(1, 1)))
        board = await made.finish()
        ended = board.generations[1].lanes[1].ended
        assert ended is not None and ended.ending is Ending.KILLED
        assert len(made.events(SubagentEnded)) == 1


async def test_a_pause_holds_before_the_next_turn_under_any_engine(tmp_path: Path) -> None:
    async with rig(tmp_path, turns) as made:
        async with made.working():
            await made.until(lambda: len(made.events(TurnStarted)) > 1, "turns")
            assert await made.answer(Pause(1, 1)) == (True, "1.1 holds before its next turn.")
            assert (await made.answer(Pause(1, 1)))[0] is False, "it holds already"
            paused = made.events(SubagentPaused)[0].seq
        async with made.working() as engine:
            # The engine takes orders, so it has come as far as it can.
            await made.until(lambda: made.board.generations[1].lanes[1].attempt == 2, "the second attempt")
            assert (await made.answer(Launch()))[0] is False
            assert lane_state(made, 1) is SubagentState.PAUSED
            after = [event for event in made.events(TurnStarted) if event.seq > paused]
            assert len(after) <= 1, "the turn that was under way, and none after it"
            assert await made.answer(Continue(1, 1)) == (True, "1.1 goes on.")
            await made.until(lambda: len(made.events(TurnStarted)) > len(after) + 3, "further turns")
            assert (await made.answer(Continue(1, 1)))[0] is False
            assert (await made.answer(Stop()))[0]
            await made.over(engine)


async def test_a_stop_ends_lanes_that_run_and_checks_what_they_did(tmp_path: Path) -> None:
    async def work(assignment: Assignment, session: Session) -> None:
        await solve(assignment, session)
        await hang(assignment, session)

    async with rig(tmp_path, work, lanes=2, generations=3) as made, made.working() as engine:
        await made.until(lambda: lane_state(made, 2) is SubagentState.RUNNING, "the lanes")
        first, second = made.order(Stop()), made.order(Stop())
        assert await made.settled(first) == await made.settled(second) == (True, "The run is ending.")
        board = await made.over(engine)
        assert board.state is RunState.SOLVED
        assert [lane.ended.ending for lane in board.generations[1].lanes.values() if lane.ended] == [Ending.KILLED] * 2
        assert board.generations[1].observed is not None
        assert made.home.folder(made.run).report.exists()


async def test_a_stop_at_the_gate_ends_the_run_there(tmp_path: Path) -> None:
    async with rig(tmp_path, gates_open=False, generations=2) as made, made.working() as engine:
        await made.state(RunState.GATE)
        await made.answer(Stop())
        board = await made.over(engine)
        assert board.finished is not None
        assert (board.state, board.finished.reason) == (RunState.STOPPED, "Stopped by the operator.")
        assert list(board.generations) == [1]


async def test_a_stop_ends_the_first_checks_too(tmp_path: Path) -> None:
    async with rig(tmp_path, check=SLOW) as made, made.working() as engine:
        assert (await made.answer(Stop()))[0]
        board = await made.over(engine)
        assert board.state is RunState.STOPPED
        assert board.baseline is None
        assert "Stopped by the operator." in made.home.folder(made.run).report.read_text()


@pytest.mark.parametrize("gates_open", [True, False])
async def test_a_stop_that_was_taken_is_carried_out_by_the_next_engine(tmp_path: Path, gates_open: bool) -> None:
    async with rig(tmp_path, hang, generations=2, gates_open=gates_open) as made:
        async with made.working():
            await made.until(lambda: lane_state(made, 1) is SubagentState.RUNNING, "the lane")
        take(made, made.order(Stop()))
        board = await made.finish()
        assert board.state is RunState.STOPPED
        assert list(board.generations) == [1]


async def test_a_launch_passes_one_gate_and_with_rest_all_that_follow(tmp_path: Path) -> None:
    async with rig(tmp_path, gates_open=False, generations=5) as made, made.working() as engine:
        await made.state(RunState.GATE)
        one, two = made.order(Launch()), made.order(Launch())
        assert (await made.settled(one))[0]
        assert await made.settled(two) == (False, "No gate is open."), "one gate, one launch"
        await made.state(RunState.GATE)
        assert await made.answer(Launch(rest=True)) == (True, "All generations that follow start.")
        board = await made.over(engine)
        assert board.state is RunState.UNSOLVED
        assert len(board.generations) == 5
        assert [e.payload.by for e in made.events(GatePassed) if isinstance(e.payload, GatePassed)].count("auto") >= 1


async def test_orders_given_while_no_engine_lives_are_carried_out_once_by_the_next(tmp_path: Path) -> None:
    async with rig(tmp_path, gates_open=False, generations=2) as made:
        async with made.working():
            await made.state(RunState.GATE)
        order = made.order(Launch())
        board = await made.finish()
        assert await made.settled(order) == (True, "Generation 2 starts.")
        assert len(made.events(GatePassed)) == 1
        assert len(board.generations) == 2


@pytest.mark.parametrize("order", [Kill(1, 9), Kill(7, 1), Pause(2, 1), Continue(1, 1), Pause(1, 1)])
async def test_what_cannot_be_done_is_refused_with_a_reason(tmp_path: Path, order: Command) -> None:
    async with rig(tmp_path, gates_open=False, generations=2) as made, made.working():
        await made.state(RunState.GATE)
        applied, outcome = await made.answer(order)
        assert not applied
        assert outcome.endswith(("does not run.", "is not paused."))


async def test_an_order_that_this_version_does_not_know_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dance(Command):
        name = "dance"

    async with rig(tmp_path, gates_open=False, generations=2) as made, made.working():
        await made.state(RunState.GATE)
        with monkeypatch.context() as later:
            later.setitem(COMMANDS, "dance", Dance)
            order = made.order(Dance())
        assert await made.settled(order) == (False, "This engine doesn't know the command “dance”.")


async def test_a_command_is_applied_once_when_its_engine_leaves_around_it(tmp_path: Path) -> None:
    """Leave at once, and a little later, after an order: whatever was done, the next engine does the rest."""
    async with rig(tmp_path, gates_open=False, generations=6) as made:
        for _ in range(5):
            async with made.working():
                await made.until(lambda: made.board.waiting, "a gate")
                order = made.order(Launch())
            async with made.working():
                assert (await made.settled(order))[0]
                await made.until(lambda: made.board.generation is not None and not made.board.waiting, "work")
        board = await made.finish()
        assert board.state is RunState.UNSOLVED
        assert len(made.events(GatePassed)) == 5
        assert len(made.events(GenerationDesigned)) == 6
        assert len(made.events(RunFinished)) == 1
        assert all(e.payload.applied for e in made.events(CommandSettled) if isinstance(e.payload, CommandSettled))


async def face(made: Rig) -> str:
    """What the file says once the latest version does: an order is answered with the version, just before that."""
    path = made.home.folder(made.run).observations
    await made.until(lambda: path.read_text() == observations.text(made.store, made.run), "the file")
    return path.read_text()


async def test_edits_of_one_version_are_both_kept(tmp_path: Path) -> None:
    async with rig(tmp_path, gates_open=False, generations=2) as made, made.working():
        await made.state(RunState.GATE)
        text = observations.text(made.store, made.run)
        assert text is not None
        applied, outcome = await made.answer(EditObservations(f"{text}\n- Mine.\n", 1))
        assert (applied, outcome) == (True, "Edited the text. Kept as version 2.")
        applied, outcome = await made.answer(EditObservations(f"{text}\n- Mine as well.\n", 1))
        assert (applied, outcome) == (True, "Edited the text. Kept as version 3.")
        file = await face(made)
        assert "Mine." in file
        assert "Mine as well." in file
        applied, outcome = await made.answer(EditObservations(text, 9))
        assert (applied, outcome) == (
            False,
            "There is no version 9 of the observations. Reload and edit again.",
        )


async def test_an_order_is_carried_out_though_the_file_cannot_be_written(tmp_path: Path) -> None:
    async with rig(tmp_path, gates_open=False, generations=2) as made, made.working():
        await made.state(RunState.GATE)
        path = made.home.folder(made.run).observations
        path.unlink()
        path.mkdir()
        assert (await made.answer(ChangeObservations(1, (do.Add("Mine."),))))[0]
        assert (await made.answer(ChangeObservations(2, (do.Add("Mine as well."),))))[0]
        path.rmdir()
        assert (await made.answer(Stop()))[0]
        await made.state(RunState.STOPPED)
        assert "Mine as well." in path.read_text()


async def test_edits_that_disagree_stand_side_by_side_until_one_is_chosen(tmp_path: Path) -> None:
    async with rig(tmp_path, gates_open=False, generations=2) as made, made.working():
        await made.state(RunState.GATE)
        text = observations.text(made.store, made.run) or ""
        outcome = ""
        for words in ("Way 1 is slow.", "Way 1 is wrong."):
            applied, outcome = await made.answer(EditObservations(text.replace("Way 1 does not help.", words), 1))
            assert applied
        assert outcome == (
            "Edited the text. Kept as version 3. "
            "A conflict with what was changed meanwhile: both sides are in the file."
        )
        file = await face(made)
        assert "Way 1 is slow." in file
        assert "Way 1 is wrong." in file
        document = observations.load(made.store, made.run)
        assert document is not None
        (conflict,) = conflicts(document)
        assert (conflict.field, conflict.value) == ("text", "Way 1 is wrong.")
        assert (await made.answer(ChangeObservations(3, (do.Resolve(conflict.id, "text", take=True),))))[0]
        file = await face(made)
        assert "Way 1 is wrong." in file
        assert "slow" not in file
        assert "Conflict" not in file


async def test_changes_are_made_all_or_none_and_taken_back(tmp_path: Path) -> None:
    async with rig(tmp_path, gates_open=False, generations=2) as made, made.working():
        await made.state(RunState.GATE)
        document = observations.load(made.store, made.run)
        assert document is not None
        (lesson,) = document.observations
        assert await made.answer(ChangeObservations(1, (do.Drop(lesson.id), do.Pin("o-none")))) == (
            False,
            "There is no observation o-none.",
        )
        changes = (do.Pin(lesson.id), do.Add("Mine."))
        assert await made.answer(ChangeObservations(1, changes)) == (
            True,
            f"Pinned {lesson.id}; added “Mine.”. Kept as version 2.",
        )
        assert await made.answer(ChangeObservations(2, (do.Pin(lesson.id),))) == (
            True,
            "Nothing was changed: version 2 says it already.",
        )
        assert (await made.answer(ChangeObservations(2, (do.Undo(),))))[0]
        assert "Mine." not in await face(made)
        assert (await made.answer(ChangeObservations(2, (do.Redo(),))))[0]
        assert "Mine." in await face(made)
        assert await made.answer(ChangeObservations(4, (do.Redo(),))) == (False, "There is nothing to redo.")
        # Made of the first version, without what was done since in sight.
        assert (await made.answer(ChangeObservations(1, (do.Reword(lesson.id, "Other words."),))))[0]
        latest = observations.load(made.store, made.run)
        assert latest is not None
        (one, two) = latest.observations
        assert (one.text, one.status, two.text) == ("Other words.", Status.PINNED, "Mine.")
        said = [(v.author, v.what, v.undoes) for v in observations.versions(made.store, made.run)]
        assert said == [
            ("observer", "", 0),
            ("operator", f"Pinned {lesson.id}; added “Mine.”.", 0),
            ("operator", "Undid version 2.", 2),
            ("operator", "Did again what version 3 took back.", 3),
            ("operator", f"Reworded {lesson.id}.", 0),
        ]


@pytest.mark.parametrize(
    "text",
    ["", "\0\x1b[31m", "# Observations\n", "- (o-zzzz) \n" * 50, "\ud800"],
    ids=["empty", "control", "bare", "repeated", "surrogate"],
)
async def test_no_text_of_an_edit_harms_the_run(tmp_path: Path, text: str) -> None:
    async with rig(tmp_path, gates_open=False, generations=2) as made, made.working() as engine:
        await made.state(RunState.GATE)
        await made.answer(EditObservations(text, 1))
        assert (await made.answer(Launch()))[0]
        assert (await made.over(engine)).state is RunState.UNSOLVED


async def test_an_edit_while_the_observer_reads_is_kept_and_so_is_what_it_finds(tmp_path: Path) -> None:
    async with rig(tmp_path, nothing, gates_open=False, generations=3) as made:
        orders: list[int] = []

        def reads(generation: int, at: float) -> Observed:
            made.observer = None
            found = made.observe(generation, at)
            made.observer = reads
            if generation == 2:
                # It has read the observations, and a person changes them before it is done.
                text = observations.text(made.store, made.run) or ""
                orders.append(made.order(EditObservations(f"{text}\n- Meanwhile.\n", made.board.observations)))
                deadline = time.monotonic() + 60
                while commands.outcome(made.store, orders[0]) is None and time.monotonic() < deadline:
                    time.sleep(0.01)
            return found

        made.observer = reads
        async with made.working():
            await made.state(RunState.GATE)
            await made.answer(Launch())
            await made.until(lambda: len(orders) > 0 and made.board.waiting, "the second gate")
            assert (await made.settled(orders[0]))[0]
            document = observations.load(made.store, made.run)
            assert document is not None
            assert len(live(document)) == 3
            assert [v.author for v in observations.versions(made.store, made.run)] == [
                "observer",
                "operator",
                "observer",
            ]
