"""The operator's actions in a playback. They are in the registry like all others, and work nowhere else."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Input, TextArea

from app import actions
from app.playback.deck import Deck
from app.playback.feed import Start
from app.playback.times import TELLING, Kind, Times
from app.watching import Watching
from store.domain.events import (
    Event,
    GenerationDesigned,
    SubagentChecked,
    ToolFinished,
    ToolStarted,
    TurnStarted,
)
from store.domain.secrets import shown_line
from widgets.flow import named, verdict, went_wrong
from widgets.labels import Labels
from widgets.timeline import Reading, Spot, Timeline

STRIDE = 10.0
"""Seconds of the playback that a skip goes forth or back."""
T = TypeVar("T")


def no_orders() -> str:
    """Why nothing can be ordered."""
    key = actions.key("leave-playback")
    return f"this is a playback, and what is recorded stays as it was: {key} goes back to the live screens"


class Playing(Watching):
    """An app that can play a run. Its keys come before the screens' own ones, whose orders nobody could carry out."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            ",".join(action.keys), f"app.playing('{action.id}')", action.title, show=False, id=action.id, priority=True
        )
        for action in actions.ACTIONS
        if actions.PLAYBACK in action.where
    ]

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._focused_before: Widget | None = None
        """What was focused before the timeline."""
        self._spots: tuple[Times | None, tuple[Spot, ...]] = None, ()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "playing":
            # A question, a search and an editor have their keys to themselves.
            asked = getattr(self, "place", None) is not self.screen or isinstance(
                self.focused, Input | TextArea | Labels
            )
            return self.playback is not None and not asked
        return super().check_action(action, parameters)

    def action_playing(self, action: str) -> None:
        """Carry out an action of the playback."""
        self.action_do(action)

    def action_do(self, action: str) -> None:
        """Carry out an action of the registry. To be overridden."""
        raise NotImplementedError

    def go(self, screen: str) -> None:
        """Show another screen. To be overridden."""
        raise NotImplementedError

    def why_not_played(self, action: str) -> str:
        """Why an action can't be done now, for what playback has to say of it; "" when that is nothing."""
        only = actions.PLAYBACK in actions.find(action).where
        if self.playback is None:
            if only:
                return f"nothing is being played; {actions.key('play')} plays a run"
            if action == "play":
                track = self.track
                if track is None:
                    return "there is no run yet"
                if track.recording:
                    return "a bare recording has no events to play: `multitrack calls` lists its calls"
            return ""
        if action == "play":
            return "it is being played"
        if action in actions.ORDERS:
            return no_orders()
        if only and action != "leave-playback" and self.playback.deck is None:
            return "the tape is being read"
        return ""

    def do_play(self) -> None:
        if self.run_name is not None:
            self.play(Start(self.run_name))
            if getattr(self.screen, "NAME", "") == "runs":
                # A list of runs shows nothing of what is played.
                self.go("grid")

    def do_leave_playback(self) -> None:
        self.leave_playback()

    def do_play_pause(self) -> None:
        self._have(Deck.toggle)

    def do_faster(self) -> None:
        self._have(lambda deck, now: deck.shift(1, now))

    def do_slower(self) -> None:
        self._have(lambda deck, now: deck.shift(-1, now))

    def do_next_event(self) -> None:
        self._have(lambda deck, now: deck.step(1, now))

    def do_previous_event(self) -> None:
        self._have(lambda deck, now: deck.step(-1, now))

    def do_next_turn(self) -> None:
        self._turn(1)

    def do_previous_turn(self) -> None:
        self._turn(-1)

    def do_skip(self) -> None:
        self._have(lambda deck, now: deck.skip(STRIDE, now))

    def do_skip_back(self) -> None:
        self._have(lambda deck, now: deck.skip(-STRIDE, now))

    def do_next_mark(self) -> None:
        self._jump(1, TELLING, "Nothing went wrong, no alert was raised and nothing was solved after this.")

    def do_previous_mark(self) -> None:
        self._jump(-1, TELLING, "Nothing went wrong, no alert was raised and nothing was solved before this.")

    def do_next_error(self) -> None:
        self._jump(1, (Kind.ERROR,), "Nothing goes wrong after this.")

    def do_next_alert(self) -> None:
        self._jump(1, (Kind.ALERT,), "No alert is raised after this.")

    def do_next_solved(self) -> None:
        self._jump(1, (Kind.SOLVED,), "No subagent solves it after this.")

    def do_timeline(self) -> None:
        if isinstance(self.focused, Timeline):
            if self._focused_before is not None and self._focused_before.is_attached:
                self._focused_before.focus()
        else:
            self._focused_before = self.focused
            self.screen.query_one(Timeline).focus()

    def do_squeeze(self) -> None:
        if self.playback is not None and self.playback.deck is not None:
            self.playback.squeeze(not self.playback.deck.times.squeezed)

    def scrub(self, share: float) -> None:
        """Go to a place on the timeline, from 0 to 1."""
        self._have(lambda deck, now: deck.seek(share * deck.times.duration, now))

    def reading(self) -> Reading | None:
        """What the timeline shows; None while nothing is played, or its tape is being read."""
        playback = self.playback
        tape = playback.tape if playback is not None else None
        place = playback.place if playback is not None else None
        head = playback.head if playback is not None else None
        if playback is None or playback.deck is None or place is None or head is None or tape is None:
            return None
        times = playback.deck.times
        if self._spots[0] is not times:
            self._spots = times, spots(times)
        return Reading(
            share=head.played / times.duration if times.duration else 1.0,
            playing=head.playing,
            speed=head.speed,
            passed=place.at - times.recorded[0],
            took=times.took,
            left=(times.duration - head.played) / head.speed,
            count=place.count,
            what=said(tape.events[place.count - 1]) if place.count else "",
            squeezed=max(times.took - times.duration, 0.0),
            shares=times.shares,
            spots=self._spots[1],
            timed=not times.timeless,
        )

    def _have(self, what: Callable[[Deck, float], T]) -> T | None:
        return self.playback.order(what) if self.playback is not None else None

    def _turn(self, by: int) -> None:
        if not self._have(lambda deck, now: deck.turn(by, now)):
            self.say(f"There is no turn {'after' if by > 0 else 'before'} this one.", "warning")

    def _jump(self, by: int, kinds: Sequence[Kind], otherwise: str) -> None:
        mark = self._have(lambda deck, now: deck.jump(by, now, kinds))
        if mark is None:
            self.say(otherwise, "warning")


def spots(times: Times) -> tuple[Spot, ...]:
    """The marks as the timeline draws them."""
    return tuple(Spot(times.shares[mark.count - 1], mark.look, shown_line(mark.text, 200)) for mark in times.marks)


def said(event: Event) -> str:
    """An event in a line."""
    payload = event.payload
    who = f"{event.subagent.label} " if event.subagent is not None else ""
    match payload:
        case TurnStarted():
            line = f"turn {payload.turn} begins"
        case ToolStarted():
            line = f"turn {payload.turn} › {named(payload.name, payload.summary)}"
        case ToolFinished():
            line = f"turn {payload.turn} {'✗' if went_wrong(payload) else '✔'} {payload.name}: {payload.summary}"
        case SubagentChecked():
            line = f"{'✔' if payload.solved else '✗'} {verdict(payload)}"
        case GenerationDesigned():
            line = f"generation {event.generation} is designed"
        case _:
            told = next((text for name in _TELLING if (text := getattr(payload, name, ""))), "")
            line = payload.kind.replace(".", " ") + (f": {told}" if told else "")
    return shown_line(who + line, 200)


_TELLING = ("text", "error", "reason", "detail", "refused")
"""Members that say the most, in the order in which they do."""
