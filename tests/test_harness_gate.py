"""What is told to whom, and what happens at the gate, in a harness at work."""

import asyncio
from dataclasses import replace
from pathlib import Path

from backends.agents import Assignment
from store import observations
from store.domain.commands import ChangePlan, Launch, PlanChange
from store.domain.events import GateOpened, GatePassed, GenerationDesigned, SubagentCited
from store.domain.ids import SubagentId
from store.domain.observations import Document, Evidence, Status, merge
from store.domain.observations.citing import Citation
from store.domain.states import RunState, Validity
from tests.harnessrig import Found, Rig, Scripted, lesson, rig

LESSONS = 6


def teach(made: Rig, count: int = LESSONS) -> None:
    """Each generation teaches several things."""

    def observe(generation: int, at: float) -> Found:
        document = observations.load(made.store, made.run) or Document(made.run)
        found = [
            replace(lesson(made.run, generation * 100 + n), first=generation, last=generation) for n in range(count)
        ]
        document = replace(merge(document, found), generation=generation)
        lanes = made.board.generations[generation].lanes.values()
        return Found(document, {lane.id: (Validity.VALID, "it worked") for lane in lanes}, added=count)

    made.observer = observe


def given(made: Rig, generation: int) -> dict[int, Assignment]:
    assert isinstance(made.agent, Scripted)
    return {one.subagent.lane: one for one in made.agent.given if one.subagent.generation == generation}


async def test_of_four_lanes_with_memory_one_is_told_a_part_and_that_is_on_record(tmp_path: Path) -> None:
    async with rig(tmp_path, generations=3, lanes=5, clean_lanes=1) as made:
        teach(made)
        board = await made.finish()
        for number in (2, 3):
            lanes = board.generations[number].lanes
            (probe,) = [lane for lane in lanes.values() if lane.plan.without]
            assert f"by lot, it is not told {probe.plan.without[0]}" in probe.plan.why
            assert not set(probe.injected) & set(probe.plan.without)
            whole = next(lane for lane in lanes.values() if not lane.plan.clean and lane is not probe)
            assert set(probe.plan.without) <= set(whole.injected)
            told = given(made, number)
            for lane in lanes.values():
                text = told[lane.id.lane].observations
                assert all(name in text for name in lane.injected)
                assert not any(name in text for name in lane.plan.without)
                assert bool(text) is not lane.plan.clean
        document = observations.load(made.store, made.run)
        assert document is not None
        for o in document.observations:
            had = {lane.id for g in board.generations.values() for lane in g.lanes.values() if o.id in lane.injected}
            assert set(o.given_to) == had


async def test_the_operators_lanes_are_launched(tmp_path: Path) -> None:
    async with rig(tmp_path, gates_open=False, generations=3, lanes=2, clean_lanes=1) as made, made.working() as work:
        await made.state(RunState.GATE)
        assert await made.answer(ChangePlan((PlanChange("remove", 9),))) == (
            False,
            "There is no lane 9; there are 1, 2.",
        )
        changes = (
            PlanChange("change", 1, "Read it backwards, line by line.", "m-2"),
            PlanChange("add", strategy="recent changes first"),
        )
        assert await made.answer(ChangePlan(changes)) == (True, "Generation 2 has 3 lanes, 1 of them clean.")
        await made.answer(Launch())
        await made.until(lambda: made.board.waiting and 2 in made.board.generations, "the second gate")
        plans = [lane.plan for lane in made.board.generations[2].lanes.values()]
        one = plans[0]
        assert (one.strategy.approach, one.strategy.model) == ("Read it backwards, line by line.", "m-2")
        assert [plan.clean for plan in plans] == [False, True, False]
        assert plans[2].strategy.name == "recent changes first"
        await made.answer(Launch())
        board = await made.over(work)
        assert [plan.lane for plan in (lane.plan for lane in board.generations[3].lanes.values())] == [1, 2]


async def test_again_and_without_curation(tmp_path: Path) -> None:
    async with rig(tmp_path, gates_open=False, generations=4, lanes=2, clean_lanes=1) as made, made.working() as work:
        await made.state(RunState.GATE)
        answer = await made.answer(Launch(again=True))
        assert answer == (True, "Generation 2 starts. It is generation 1 again: the same lanes, told the same.")
        await made.until(lambda: made.board.waiting and 2 in made.board.generations, "the second gate")
        first, again = (made.board.generations[number] for number in (1, 2))
        assert [lane.plan.strategy for lane in again.lanes.values()] == [
            lane.plan.strategy for lane in first.lanes.values()
        ]
        assert again.told == 0
        assert not given(made, 2)[1].observations and not given(made, 2)[1].recall
        # The operator takes everything out of the file; the next generation is told what was written before that.
        face = made.home.folder(made.run).observations
        face.write_text("# Observations\n")
        assert again.observed is not None
        written = again.observed.version
        assert (await made.answer(Launch(curated=False)))[0]
        await made.until(lambda: made.board.waiting and 3 in made.board.generations, "the third gate")
        assert made.board.generations[3].told == written
        assert "Way 2" in given(made, 3)[1].observations
        document = observations.load(made.store, made.run)
        assert document is not None
        assert {o.status for o in document.observations if o.first < 3} == {Status.DROPPED}
        await made.answer(Launch())
        await made.over(work)
        assert "Way 2" not in given(made, 4)[1].observations
        assert "Way 3" in given(made, 4)[1].observations


async def test_what_is_kept_from_a_lane_is_of_what_the_others_are_told(tmp_path: Path) -> None:
    async with rig(tmp_path, gates_open=False, generations=2, lanes=5, clean_lanes=1) as made, made.working() as work:
        teach(made)
        await made.state(RunState.GATE)
        made.home.folder(made.run).observations.write_text("# Observations\n")
        assert (await made.answer(Launch(curated=False)))[0]
        board = await made.over(work)
        lanes = board.generations[2].lanes.values()
        assert sorted(len(lane.injected) for lane in lanes) == [0, LESSONS - 1, LESSONS, LESSONS, LESSONS]
        document = observations.load(made.store, made.run)
        assert document is not None and {o.status for o in document.observations if o.first == 1} == {Status.DROPPED}


async def test_a_gate_opens_by_itself_when_nobody_comes_in_time(tmp_path: Path) -> None:
    async with rig(tmp_path, gates_open=False, generations=3, gate_seconds=0.2) as made:
        board = await made.finish()
        assert [event.payload for event in made.events(GatePassed)] == [GatePassed("timeout")] * 2
        assert [event.payload for event in made.events(GateOpened)] == [GateOpened(waits=True, seconds=0.2)] * 2
        assert len(board.generations) == 3


async def test_an_engine_that_comes_late_passes_a_gate_whose_time_is_up(tmp_path: Path) -> None:
    async with rig(tmp_path, gates_open=False, generations=2, gate_seconds=0.5) as made:
        async with made.working():
            await made.state(RunState.GATE)
        await asyncio.sleep(0)
        await made.finish()
        assert len(made.events(GatePassed)) == 1


async def test_who_used_what_is_on_record(tmp_path: Path) -> None:
    def cited(generation: int, document: Document, told: object) -> dict[SubagentId, tuple[Citation, ...]]:
        assert isinstance(told, dict)
        return {
            who: tuple(Citation(n, Evidence(who, "call", "node", 0, 0, 1, n), True, "why") for n in names[:1])
            for who, names in told.items()
        }

    async with rig(tmp_path, generations=2, lanes=2, clean_lanes=1) as made:
        made.cited = cited
        board = await made.finish()
        (event,) = made.events(SubagentCited)
        assert event.subagent == SubagentId(made.run, 2, 1)
        (name,) = board.generations[2].lanes[1].injected
        assert [one.observation for one in board.generations[2].lanes[1].cited] == [name]
        document = observations.load(made.store, made.run)
        assert document is not None
        assert [o.cited_by for o in document.observations] == [(SubagentId(made.run, 2, 1),), ()]


async def test_a_run_that_remembers_is_told_from_the_first(tmp_path: Path) -> None:
    async with rig(tmp_path / "one", generations=1) as made:
        await made.finish()
        before = observations.load(made.store, made.run)
        assert before is not None
    async with rig(tmp_path / "two", generations=2, lanes=2, clean_lanes=1, remembers=(before,)) as made:
        board = await made.finish()
        assert board.order is not None and board.order.remembered == (before.run,)
        first = given(made, 1)
        assert "Way 1" in first[1].observations and first[1].recall
        assert not first[2].recall
        assert not first[2].observations, "a clean lane is told nothing, of other runs either"
        document = observations.load(made.store, made.run)
        assert document is not None
        way = next(o for o in document.observations if o.text.startswith("Way 1"))
        assert set(way.attempts) == {SubagentId(before.run, 1, 1), SubagentId(made.run, 1, 1)}
        assert [event.generation for event in made.events(GenerationDesigned)] == [1, 2]
