"""The gate, as a part of the Observations screen: the lanes of the next generation, and the decision."""

from collections.abc import Mapping
from dataclasses import replace

from app import actions, planned, raising
from app.screens.ask import Ask
from app.screens.browsing import Browsing
from app.screens.form import Field, Form
from store.domain.commands import ChangePlan, Launch, PlanChange
from store.domain.secrets import shown_line
from store.domain.states import RunState
from widgets.ink import Line

AT_GATE = frozenset({"launch-uncurated", "again"})
TO_LANES = {"edit": "change a lane", "add": "add a lane", "drop": "remove the lane", "undo": "take back all changes"}
"""What the same keys do where the lanes have the focus."""

_OF_LANES = {"edit": "Change lane", "add": "Add lane", "drop": "Remove lane", "undo": "As proposed"}
"""How the footer calls that."""

_FOOTER = (
    *("save", "leave-edit", "launch", "merge", "keep", "drop", "edit", "pin", "add", "evidence", "settle", "lanes"),
    *("changes", "versions", "told", "mark", "filter", "undo", "redo", "split", "quarantine", "priority", "claim"),
)


class Gating(Browsing):
    """Where the lanes have the focus, edit, add, drop and undo are of them."""

    def offered(self) -> tuple[actions.Action, ...]:
        """In the order of use: what doesn't fit into the footer gives way from its end."""
        if self.studio.playback is not None:
            return super().offered()
        lanes = self.is_mounted and self.draft is None and self.in_lanes
        titles = _OF_LANES if lanes else {"leave-edit": "Leave"} if self.draft is not None else {}
        first = ("leave-edit", "launch", *titles) if lanes else ()
        order = {name: at for at, name in enumerate(dict.fromkeys((*first, *_FOOTER)))}
        found = sorted(super().offered(), key=lambda action: order.get(action.id, len(order)))
        return tuple(replace(one, title=titles[one.id]) if one.id in titles else one for one in found)

    def in_footer(self, action: actions.Action) -> bool:
        """First what is done where the focus is; the way back stands there when there is something to leave."""
        if action.id == "leave-edit":
            return self.draft is not None or not self.listing.has_focus or bool(self.marked)
        return action.footer and action.id not in ("launch-rest", "stop", "quit")

    def why_not(self, action: str) -> str:
        track = self.track
        waits = track is not None and track.board.state is RunState.GATE
        if action in AT_GATE and not waits:
            return f"run {track.id} waits at no gate" if track is not None else "there is no run yet"
        if self.draft is None and self.is_mounted and self.in_lanes:
            if action in TO_LANES:
                if not waits:
                    return "lanes are changed while a gate is open"
                if action == "undo" and self.seen is not None and not self.seen.gate.changed:
                    return "no lane was changed"
                if action in ("edit", "drop") and not self.picks.cursor:
                    return "there is no lane under the cursor"
                return ""
            if action in ("keep", "pin", "quarantine", "merge", "split", "priority", "claim", "mark", "redo"):
                return f"the lanes have the focus: {actions.key('leave-edit')} goes back to the list"
        return self.why_not_curating(action)

    def _planned(self, change: PlanChange, what: str) -> None:
        if self.track is not None:
            self.studio.order(self.track.id, ChangePlan((change,)), what)

    def do_edit(self) -> None:
        if self.in_lanes:
            self._lane(int(self.picks.cursor))
        else:
            super().do_edit()

    def do_add(self) -> None:
        if self.in_lanes:
            self._lane(0)
        else:
            super().do_add()

    def do_drop(self) -> None:
        if self.in_lanes:
            number = int(self.picks.cursor)
            self._planned(PlanChange("remove", number), f"remove lane {number}")
        else:
            super().do_drop()

    def do_undo(self) -> None:
        if self.in_lanes and self.track is not None:
            self.studio.order(self.track.id, ChangePlan((), anew=True), "the lanes as proposed")
        else:
            super().do_undo()

    def _lane(self, number: int) -> None:
        """Ask what a lane is to have; 0 is one more."""
        track, found = self.track, self.seen
        if track is None or found is None:
            return
        lane = next((one.plan for one in found.gate.lanes if one.plan.lane == number), None)
        names = tuple(dict.fromkeys(one.plan.strategy.name for one in found.gate.lanes))
        limits = track.board.task.limits.with_own(lane.strategy.limits) if lane else track.board.task.limits
        empty = "What is left empty stays as it is." if lane else "What is left empty is as the task has it."
        said: list[Line] = [[(empty, "faint")], []]
        if lane is not None:
            said.insert(0, [(shown_line(lane.strategy.approach, 130), "text")])
        fields = [
            Field("strategy", "strategy", "a strategy's name, or an approach in words", choices=names),
            Field("model", "model", lane.strategy.model or track.board.task.model if lane else track.board.task.model),
            *(Field(name, raising.LABELS[name].lower(), planned.limit_now(name, limits)) for name in raising.FIELDS),
        ]
        if lane is None:
            fields.append(Field("clean", "clean", "yes: a lane without memory"))

        def check(answers: Mapping[str, str]) -> str:
            made = planned.asked(number, answers)
            return f"{made}." if isinstance(made, str) else ""

        def answered(answers: dict[str, str] | None) -> None:
            made = planned.asked(number, answers) if answers is not None else ""
            if isinstance(made, PlanChange):
                self._planned(made, f"change lane {number}" if number else "add a lane")

        name = f"Lane {number}: {lane.strategy.name}" if lane is not None else "One more lane"
        self.studio.push_screen(
            Form(f"{name}, in generation {found.gate.next}", said, fields, "Change it" if number else "Add it", check),
            answered,
        )

    def do_launch_uncurated(self) -> None:
        self._launch(
            "without your changes",
            "It is told what the observer wrote, whatever you have changed since. Your changes stay in the file.",
            Launch(curated=False),
        )

    def do_again(self) -> None:
        self._launch(
            "again", "The generation is repeated: the same lanes, told the same as before.", Launch(again=True)
        )

    def _launch(self, how: str, said: str, order: Launch) -> None:
        track = self.track
        if track is None:
            return
        number = track.latest + 1

        def answered(yes: bool | None) -> None:
            if yes:
                self.studio.order(track.id, order, f"launch generation {number} {how}")

        self.studio.push_screen(Ask(f"Launch generation {number} {how}?", said, "Launch it"), answered)
