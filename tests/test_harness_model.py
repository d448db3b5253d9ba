"""The observer's model in the harness: after the rules, beside the operator, and under engines that come and go."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

from store import observations
from store.domain.commands import Stop
from store.domain.events import Alert, GenerationObserved, ModelObserved, ObservationsWritten
from store.domain.ids import SubagentId
from store.domain.observations import Author, Document, Status, Subject, fingerprint, merge
from store.domain.observations.deltas import DeltaTaken
from store.domain.states import RunState, Validity
from tests.harnessrig import PATIENCE, Rig, lesson, rig

CAUSE = "The file says 41, which the check never takes."


@dataclass(frozen=True)
class Answered:
    """What a model came to say: one lesson more, unless it failed."""

    run: str
    generation: int
    failed: str = ""

    def apply(self, document: Document) -> tuple[Document, ModelObserved]:
        if self.failed:
            return document, ModelObserved("m", (DeltaTaken("ADD", "", "no", "not on the tape"),), self.failed)
        mark = fingerprint(Subject.INSIGHT, str(self.generation))
        new = replace(
            lesson(self.run, self.generation),
            fingerprint=mark,
            subject=Subject.INSIGHT,
            text=CAUSE,
            author=Author.MODEL,
        )
        after = merge(document, [new])
        return after, ModelObserved("m", (DeltaTaken("ADD", after.observations[-1].id, CAUSE),))


@dataclass
class Model:
    """Stands in for the one who asks it. `begun` is set when it is asked; it answers when `go` is set."""

    rig: Rig
    failed: str = ""
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[tuple[int, list[SubagentId]]] = field(default_factory=list)
    left: int = 0

    async def ask(self, generation: int, valid: Collection[SubagentId]) -> Answered:
        self.asked.append((generation, list(valid)))
        self.begun.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.left += 1
            raise
        return Answered(self.rig.run, generation, self.failed)


async def begun(model: Model) -> None:
    await asyncio.wait_for(model.begun.wait(), PATIENCE)


async def test_it_is_asked_after_the_rules_and_what_it_says_counts(tmp_path: Path) -> None:
    async with rig(tmp_path, generations=2) as made:
        model = Model(made)
        model.go.set()
        board = await made.finish(consult=model.ask)
        one, two = (SubagentId(made.run, number, 1) for number in (1, 2))
        assert model.asked == [(1, [one]), (2, [one, two])]
        assert [(e.generation, e.payload) for e in made.events(GenerationObserved)] == [
            (1, GenerationObserved(2, 2, 2, 0)),
            (2, GenerationObserved(4, 4, 2, 0)),
        ]
        authors = [version.author for version in observations.versions(made.store, made.run)]
        assert authors == ["observer", "model"] * 2
        assert board.generations[2].injected == 2
        # By rule first: it is in the store before the model is asked, and told of once only.
        kinds = [type(e.payload) for e in made.events(ObservationsWritten, ModelObserved, GenerationObserved)]
        assert kinds == [ObservationsWritten, ModelObserved, ObservationsWritten, GenerationObserved] * 2
        assert CAUSE in made.home.folder(made.run).observations.read_text()


async def test_without_a_model_nobody_is_asked(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        await made.finish()
        assert made.events(ModelObserved) == []
        assert [e.payload for e in made.events(GenerationObserved)] == [GenerationObserved(1, 1, 1, 0)]


async def test_one_that_fails_costs_nothing_and_is_told(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        model = Model(made, failed="the model refused: no")
        model.go.set()
        board = await made.finish(consult=model.ask)
        document = observations.load(made.store, made.run)
        assert document is not None and len(document.observations) == 1
        assert [e.payload for e in made.events(GenerationObserved)] == [GenerationObserved(1, 1, 1, 0)]
        (alert,) = made.events(Alert)
        assert "the model refused: no. What the rules found stands." in str(alert.payload)
        assert board.alerts and board.finished is not None


async def test_nobody_is_asked_about_attempts_that_teach_nothing(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        made.validity = Validity.NEVER_STARTED
        model = Model(made)
        await made.finish(consult=model.ask)
        assert model.asked == [] and len(made.events(GenerationObserved)) == 1


async def test_what_is_edited_while_it_thinks_stays(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        model = Model(made)
        async with made.working(consult=model.ask) as work:
            await begun(model)
            assert "Way 1 does not help." in made.home.folder(made.run).observations.read_text()
            document = observations.load(made.store, made.run)
            assert document is not None
            mine = replace(document.observations[0], status=Status.DROPPED)
            made.store.write(
                lambda c: observations.save(c, replace(document, observations=(mine,)), author="operator", at=1.0)
            )
            model.go.set()
            await made.over(work)
        after = observations.load(made.store, made.run)
        assert after is not None
        assert [(o.status, o.text) for o in after.observations] == [
            (Status.DROPPED, mine.text),
            (Status.PROPOSED, CAUSE),
        ]


async def test_the_run_that_is_stopped_does_not_wait_for_it(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        model = Model(made)
        async with made.working(consult=model.ask) as work:
            await begun(model)
            assert (await made.answer(Stop()))[0]
            board = await made.over(work)
        assert model.left == 1 and made.events(ModelObserved) == []
        assert len(made.events(GenerationObserved)) == 1 and board.known == 1
        # Nor is one asked whose run is stopped already.
        assert len(model.asked) == 1


async def test_an_engine_that_leaves_asks_again_when_it_is_back(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        first = Model(made)
        async with made.working(consult=first.ask):
            await begun(first)
        assert first.left == 1 and made.events(GenerationObserved) == []
        document = observations.load(made.store, made.run)
        assert document is not None and len(document.observations) == 1, "what the rules found is kept"
        second = Model(made)
        second.go.set()
        board = await made.finish(consult=second.ask)
        assert board.state is not RunState.FAILED
        assert len(made.events(GenerationObserved)) == len(made.events(ModelObserved)) == 1
        assert board.known == 2
