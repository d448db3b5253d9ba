"""What the operator orders of subagents: of the selected one, or of all that are marked."""

from collections.abc import Mapping, Sequence

from app import actions, orders, raising
from app.screens.ask import Ask
from app.screens.base import StudioScreen
from app.screens.form import Field, Form
from store.domain.board import Generation, Lane
from store.domain.commands import Command, Raise, Restart, Steer
from store.domain.ids import SubagentId
from store.domain.secrets import shown_line
from widgets import words
from widgets.ink import Line

NAMED = 12
"""Strategies that a form names."""


class CommandingScreen(StudioScreen):
    """A screen from which subagents are given orders. What can't be undone is asked once, for all of them together."""

    @property
    def handled(self) -> dict[SubagentId, int]:
        """How many alerts of a subagent the operator had seen when the last order went to it."""
        return self.world.handled

    @property
    def generation(self) -> Generation | None:
        """The generation on the screen."""
        raise NotImplementedError

    @property
    def chosen(self) -> Sequence[Lane]:
        """Whom an order goes to."""
        raise NotImplementedError

    @property
    def open(self) -> bool:
        """Whether the shown generation may still change."""
        generation, track = self.generation, self.track
        return generation is not None and track is not None and orders.is_open(generation, track.latest)

    def targets(self, action: str) -> orders.Targets:
        """Those of the chosen ones, which are of one generation, that can take an order."""
        chosen, track = self.chosen, self.track
        of = track.generation(chosen[0].id.generation) if chosen and track else None
        still_open = of is not None and track is not None and orders.is_open(of, track.latest)
        return orders.targets(action, chosen, open=still_open)

    def why_not(self, action: str) -> str:
        return self.targets(action).why_not if action in orders.TO_SUBAGENTS else ""

    def give(self, what: str, given: Sequence[tuple[Lane, Command]]) -> None:
        """Send an order to each; with several, what came of it is said once."""
        for lane, _ in given:
            self.handled[lane.id] = lane.alerts
        if len(given) == 1:
            ((lane, command),) = given
            self.studio.order(lane.id.run, command, f"{what} {lane.id.label}")
            return
        if self.track is not None and not self.track.alive:
            said = (
                f"{what}: no engine works on run {self.track.id}. The orders wait until one does; "
                f"{actions.key('resume')} resumes the run."
            )
            self.studio.say(said, "warning")
        several = orders.Several(what, [lane.id.label for lane, _ in given], self.studio.say)
        for lane, command in given:
            self.studio.order(lane.id.run, command, "", several.answered(lane.id.label))

    def _give_simple(self, action: str) -> None:
        self.give(action, [(lane, orders.simple(action, lane)) for lane in self.targets(action).willing])

    def do_pause(self) -> None:
        self._give_simple("pause")

    def do_continue(self) -> None:
        self._give_simple("continue")

    def do_kill(self) -> None:
        found = self.targets("kill")
        one = len(found.willing) == 1
        when = "It ends now, in the middle of its turn." if one else "They end now, in the middle of a turn."
        said = f"{when} What was changed so far is still checked; it can't be undone."

        def answered(yes: bool | None) -> None:
            if yes:
                self._give_simple("kill")

        self.app.push_screen(Ask(f"Kill {found.named}?", [*self._left_out(found), said], "Kill"), answered)

    def do_steer(self) -> None:
        found = self.targets("steer")
        one = len(found.willing) == 1
        said = f"{'It reads' if one else 'Each reads'} this with its next turn, as a word of the operator's."
        head = _paragraphs([*self._left_out(found), said])
        for lane in found.willing[:1] if one else ():
            head += [
                [("waits to be read: ", "faint"), (shown_line(told.text, 60), "text")] for told in lane.unread[-2:]
            ]

        def answered(answers: dict[str, str] | None) -> None:
            if answers:
                text = answers["text"]
                self.give("steer", [(lane, Steer(lane.id.generation, lane.id.lane, text)) for lane in found.willing])

        def check(answers: Mapping[str, str]) -> str:
            return "" if answers["text"] else "There is nothing to say yet."

        form = Form(f"Steer {found.named}", head, [Field("text", "Message", tall=True)], "Send", check)
        self.app.push_screen(form, answered)

    def do_limits(self) -> None:
        found = self.targets("limits")
        head = _paragraphs([*self._left_out(found)])
        for lane in found.willing[:4]:
            spent, limits = lane.spent(self.studio.now()), lane.limits
            line: Line = [(f"{lane.id.label:<6}", "strong")]
            line += [(f"turn {lane.turn}/{limits.turns or 'any'}  ", "text")]
            line += [
                (
                    f"{words.tokens(spent.tokens)}/{words.tokens(limits.tokens) if limits.tokens else 'any'}  ",
                    "text",
                )
            ]
            line += [(f"{words.money(spent)}/{f'${limits.usd:.2f}' if limits.usd else 'any'}  ", "text")]
            line += [
                (
                    f"{words.duration(spent.seconds)}/{words.duration(limits.seconds) if limits.seconds else 'any'}",
                    "text",
                )
            ]
            head.append(line)
        head.append([])

        def answered(answers: dict[str, str] | None) -> None:
            if answers:
                given = [(lane, order) for lane in found.willing if isinstance(order := _raised(lane, answers), Raise)]
                self.give("raise the limits of", given)

        def check(answers: Mapping[str, str]) -> str:
            asked = [_raised(lane, answers) for lane in found.willing]
            # As long as one of them can take it; a share of nothing leaves a lane as it is.
            return "" if any(isinstance(one, Raise) for one in asked) else next(o for o in asked if isinstance(o, str))

        fields = [Field(name, raising.LABELS[name], raising.HINTS[name]) for name in raising.FIELDS]
        self.app.push_screen(Form(f"Raise the limits of {found.named}", head, fields, "Raise", check), answered)

    def do_restart(self) -> None:
        found = self.targets("restart")
        names = sorted({lane.plan.strategy.name for lane in self.generation.lanes.values()} if self.generation else ())
        could = [lane for lane in found.willing if not lane.restartable]
        said = "It begins anew in a new sandbox; what it did so far stays on its tape and doesn't count any more."
        head = _paragraphs([*self._left_out(found), said])
        head += [[("strategies: ", "faint"), (shown_line(", ".join(names[:NAMED]), 160), "text")]] if names else []
        head.append([])

        def answered(answers: dict[str, str] | None) -> None:
            if answers is not None:
                way, model = answers["strategy"], answers["model"]
                given = [(lane, Restart(lane.id.generation, lane.id.lane, way, model)) for lane in found.willing]
                self.give("restart", given)

        def check(answers: Mapping[str, str]) -> str:
            if could and not (answers["strategy"] or answers["model"]):
                return f"{could[0].id.label} could work as it was told: name another strategy, or another model."
            return ""

        fields = [
            Field("strategy", "Strategy", "the same; a name, or an approach in words", choices=tuple(names)),
            Field("model", "Model", "the same"),
        ]
        self.app.push_screen(Form(f"Restart {found.named}", head, fields, "Restart", check), answered)

    def _left_out(self, found: orders.Targets) -> list[str]:
        if not found.refusals:
            return []
        return [f"{words.count(len(found.refusals), 'other')} left out: {found.refusals[0]}."]


def _raised(lane: Lane, answers: Mapping[str, str]) -> Raise | str:
    wanted: list[raising.Wanted] = []
    for name in raising.FIELDS:
        found = raising.parse(name, answers[name])
        if isinstance(found, str):
            return found
        if found is not None:
            wanted.append(found)
    return raising.raised(lane, wanted) if wanted else "Say at least one limit."


def _paragraphs(said: Sequence[str]) -> list[Line]:
    from app.screens.form import CELLS
    from widgets.ink import wrap

    return [line for text in said for line in (*([(row, "text")] for row in wrap(shown_line(text, 400), CELLS)), [])]
