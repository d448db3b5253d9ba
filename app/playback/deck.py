"""The clock of a playback. It has no clock of its own: whoever asks says what time it is, in seconds of any clock that
doesn't go back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.playback.times import TELLING, Kind, Mark, Times

SPEEDS: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)


@dataclass(frozen=True)
class Place:
    """Where the playback is: `count` events have happened; `played` as `Times` has it, `at` in Unix seconds."""

    count: int
    played: float
    at: float
    playing: bool
    speed: float


class Deck:
    """Plays, stands, seeks. Steps leave it standing at exactly one event, also among several of one moment."""

    def __init__(self, times: Times, *, speed: float = 1.0) -> None:
        self.times = times
        self.speed = speed
        self._playing = False
        self._from = 0.0
        """The moment of the playback at `_since`."""
        self._since = 0.0
        self._count: int | None = None
        """Events that have happened, where that is not what the moment says."""

    def place(self, now: float) -> Place:
        """Where it is; at the end it stands."""
        played = self._from + (max(now - self._since, 0.0) * self.speed if self._playing else 0.0)
        played = min(played, self.times.duration)
        count = self.times.count(played) if self._count is None else self._count
        playing = self._playing and count < len(self.times)
        return Place(count, played, self.times.recorded_of(played), playing, self.speed)

    # Playing.

    def play(self, now: float) -> None:
        """Go on from where it stands; from the beginning when it stands at the end."""
        place = self.place(now)
        at_end = place.count >= len(self.times)
        self._set(0.0 if at_end else place.played, now, playing=True)

    def pause(self, now: float) -> None:
        """Stand still."""
        place = self.place(now)
        self._set(place.played, now, playing=False, count=self._count)

    def toggle(self, now: float) -> None:
        """Play when it stands, stand when it plays."""
        (self.pause if self.place(now).playing else self.play)(now)

    def at_speed(self, speed: float, now: float) -> None:
        """Another speed from now on. ValueError when it is out of bounds."""
        if not SPEEDS[0] <= speed <= SPEEDS[-1]:
            raise ValueError(f"a speed of {speed:g}× is not within {SPEEDS[0]:g}× and {SPEEDS[-1]:g}×")
        place = self.place(now)
        self._set(place.played, now, playing=self._playing, count=self._count)
        self.speed = speed

    def shift(self, by: int, now: float) -> None:
        """The next speed up or down; none beyond the last."""
        others = [speed for speed in SPEEDS if (speed - self.speed) * by > 0]
        if others:
            self.at_speed(min(others) if by > 0 else max(others), now)

    # Going to another place. It plays on where it played, but for steps.

    def seek(self, played: float, now: float) -> None:
        """Go to a moment of the playback."""
        self._set(min(max(played, 0.0), self.times.duration), now, playing=self.place(now).playing)

    def skip(self, seconds: float, now: float) -> None:
        """Go forth or back by so many seconds of the playback."""
        self.seek(self.place(now).played + seconds, now)

    def go(self, count: int, now: float, *, stand: bool = False) -> None:
        """Go to where exactly so many events have happened."""
        count = min(max(count, 0), len(self.times))
        playing = self.place(now).playing and not stand
        self._set(self.times.moment(count), now, playing=playing, count=None if playing else count)

    def step(self, by: int, now: float) -> None:
        """Stand so many events further, or back."""
        self.go(self.place(now).count + by, now, stand=True)

    def turn(self, by: int, now: float) -> bool:
        """Stand at the beginning of the next turn, or of the one before; whether there is one."""
        count = self.times.turn(self.place(now).count, by)
        if count is not None:
            self.go(count, now, stand=True)
        return count is not None

    def jump(self, by: int, now: float, kinds: Sequence[Kind] = TELLING) -> Mark | None:
        """Go to the next mark of these kinds, or to the one before; None, and nothing changes, where there is none."""
        mark = self.times.mark(self.place(now).count, by, kinds)
        if mark is not None:
            self.go(mark.count, now, stand=True)
        return mark

    def retime(self, times: Times, now: float) -> None:
        """The same run by other times: silences squeezed or not. It stays where it is."""
        place = self.place(now)
        self.times = times
        played = times.moment(place.count) if times.timeless else times.play_of(place.at)
        self._set(played, now, playing=place.playing, count=None if place.playing else place.count)

    def _set(self, played: float, now: float, *, playing: bool, count: int | None = None) -> None:
        self._from, self._since, self._playing = played, now, playing
        self._count = None if playing else count
