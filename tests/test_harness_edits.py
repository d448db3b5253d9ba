"""`observations.md` edited by hand: what a person wrote is kept, and told to the next generation."""

from pathlib import Path

from backends.agents import Assignment, Session
from store import observations
from store.domain.commands import EditObservations, Launch
from store.domain.observations import live
from store.domain.states import RunState
from tests.harnessrig import Rig, Scripted, nothing, rig

MINE = "\n- The lock is made anew for each call.\n"


def face(made: Rig) -> Path:
    return made.home.folder(made.run).observations


def told(made: Rig, generation: int) -> dict[int, str]:
    """What each lane of a generation was given."""
    assert isinstance(made.agent, Scripted)
    return {
        given.subagent.lane: given.observations for given in made.agent.given if given.subagent.generation == generation
    }


def edit(made: Rig, text: str = MINE) -> None:
    face(made).write_text(face(made).read_text() + text)


async def test_an_edit_at_the_gate_is_told_to_the_next_generation(tmp_path: Path) -> None:
    async with rig(tmp_path, gates_open=False, generations=2, lanes=2, clean_lanes=1) as made, made.working() as engine:
        await made.state(RunState.GATE)
        edit(made)
        await made.answer(Launch())
        board = await made.over(engine)
        assert told(made, 1) == {1: "", 2: ""}
        assert "The lock is made anew for each call." in told(made, 2)[1]
        assert "Way 1 does not help." in told(made, 2)[1]
        assert told(made, 2)[2] == "", "a clean lane is told nothing"
        assert board.generations[2].injected == 2
        assert "The lock is made anew for each call." in face(made).read_text()


async def test_an_edit_while_no_engine_lives_counts_as_well(tmp_path: Path) -> None:
    async with rig(tmp_path, gates_open=False, generations=2) as made:
        async with made.working():
            await made.state(RunState.GATE)
        edit(made)
        made.order(Launch())
        await made.finish()
        assert "The lock is made anew for each call." in told(made, 2)[1]


async def test_an_edit_counts_when_the_engine_dies_as_the_gate_is_passed(tmp_path: Path) -> None:
    """The passing of the gate is recorded, and the engine gone, before it looks at the file."""
    async with rig(tmp_path, gates_open=False, generations=2) as made:
        async with made.working():
            await made.state(RunState.GATE)
            edit(made)
            order = made.order(Launch())
            await made.until(lambda: not made.board.waiting, "the gate is passed")
        assert (await made.settled(order))[0]
        await made.finish()
        assert "The lock is made anew for each call." in told(made, 2)[1]


async def test_a_file_that_is_behind_the_store_takes_nothing_back(tmp_path: Path) -> None:
    """The engine died after the observations were committed and before the file was written."""
    async with rig(tmp_path, gates_open=False, generations=3) as made:
        async with made.working():
            await made.state(RunState.GATE)
            old = face(made).read_text()
            await made.answer(Launch())
            await made.until(lambda: len(made.board.generations) == 2 and made.board.waiting, "the second gate")
        face(made).write_text(old)
        made.order(Launch(rest=True))
        await made.finish()
        assert "Way 1 does not help." in told(made, 3)[1]
        assert "Way 2 does not help." in told(made, 3)[1]
        document = observations.load(made.store, made.run)
        assert document is not None
        assert len(live(document)) == 3
        assert "Way 3 does not help." in face(made).read_text()


async def test_an_edit_of_a_file_that_is_behind_keeps_both(tmp_path: Path) -> None:
    async with rig(tmp_path, gates_open=False, generations=3) as made:
        async with made.working():
            await made.state(RunState.GATE)
            old = face(made).read_text()
            await made.answer(Launch())
            await made.until(lambda: len(made.board.generations) == 2 and made.board.waiting, "the second gate")
        face(made).write_text(old + MINE)
        made.order(Launch())
        await made.finish()
        for lesson in ("Way 1 does not help.", "Way 2 does not help.", "The lock is made anew for each call."):
            assert lesson in told(made, 3)[1]


async def test_an_edit_while_the_observer_reads_is_kept(tmp_path: Path) -> None:
    async with rig(tmp_path, generations=3) as made:

        def observing() -> None:
            if 2 in made.board.generations and 3 not in made.board.generations:
                edit(made)

        made.observing = observing
        await made.finish()
        assert "The lock is made anew for each call." in told(made, 3)[1]
        assert "Way 2 does not help." in told(made, 3)[1]


async def test_an_edit_of_the_file_and_one_of_the_screen_both_stay(tmp_path: Path) -> None:
    async with rig(tmp_path, gates_open=False, generations=2) as made, made.working() as engine:
        await made.state(RunState.GATE)
        text = observations.text(made.store, made.run) or ""
        edit(made, "\n- In the file.\n")
        assert (await made.answer(EditObservations(f"{text}\n- On the screen.\n", 1)))[0]
        await made.answer(Launch())
        await made.over(engine)
        assert "In the file." in told(made, 2)[1]
        assert "On the screen." in told(made, 2)[1]


async def test_a_file_that_is_gone_or_empty_is_written_again(tmp_path: Path) -> None:
    async with rig(tmp_path, gates_open=False, generations=3) as made, made.working() as engine:
        await made.state(RunState.GATE)
        face(made).unlink()
        await made.answer(Launch())
        await made.until(lambda: len(made.board.generations) == 2 and made.board.waiting, "the second gate")
        face(made).write_text("")
        await made.answer(Launch())
        await made.over(engine)
        assert "Way 1 does not help." in told(made, 2)[1]
        assert "Way 1 does not help." in told(made, 3)[1]
        assert "Way 1 does not help." in face(made).read_text()


async def test_what_was_dropped_is_not_told(tmp_path: Path) -> None:
    async with rig(tmp_path, gates_open=False, generations=2) as made, made.working() as engine:
        await made.state(RunState.GATE)
        lines = face(made).read_text().splitlines()
        start = next(index for index, line in enumerate(lines) if "Way 1 does not help." in line)
        face(made).write_text("\n".join(lines[:start]) + "\n")
        await made.answer(Launch())
        await made.over(engine)
        assert told(made, 2) == {1: ""}


async def test_lanes_that_start_late_are_told_what_their_generation_began_with(tmp_path: Path) -> None:
    """An edit that comes when the generation is designed, but not all of it launched, is for the next one."""
    async with rig(tmp_path, gates_open=False, generations=3, lanes=2) as made:

        async def edits_meanwhile(assignment: Assignment, session: Session) -> None:
            if assignment.subagent.generation == 2 and not orders:
                text = observations.text(made.store, made.run) or ""
                orders.append(made.order(EditObservations(text + MINE, 1)))
                await made.settled(orders[0])
            await nothing(assignment, session)

        orders: list[int] = []
        assert isinstance(made.agent, Scripted)
        made.agent.does = edits_meanwhile
        async with made.working():
            await made.state(RunState.GATE)
            await made.answer(Launch())
            await made.until(lambda: len(made.board.generations) == 2 and made.board.waiting, "the second gate")
            await made.answer(Launch())
            await made.until(lambda: len(told(made, 3)) == 2, "the third generation")
        assert len(set(told(made, 2).values())) == 1
        assert not any("The lock" in text for text in told(made, 2).values())
        assert all("The lock" in text for text in told(made, 3).values())
