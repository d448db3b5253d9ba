"""Where a playback begins, in words: `--from`."""

import re
from dataclasses import dataclass
from typing import Final

from app.playback.times import Kind, Times

FORMS: Final = "1h02m30s of the run, 40%, event:120, turn:7, gen:2, error, alert, solved, gate, end"
"""What can be said."""

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?")
_JUMPS = {"error": Kind.ERROR, "alert": Kind.ALERT, "solved": Kind.SOLVED, "gate": Kind.GATE}
_NUMBERED = re.compile(r"(event|turn|gen):(\d{1,9})")


@dataclass(frozen=True)
class Where:
    """A place in a run. `kind` is seconds, share, event, turn, gen, mark or end."""

    kind: str
    number: float = 0.0
    mark: Kind | None = None

    def count(self, times: Times) -> int:
        """How many events have happened there; the end where there is no such place."""
        match self.kind:
            case "seconds":
                return times.count(times.play_of((times.recorded[0] if len(times) else 0.0) + self.number))
            case "share":
                return times.count(times.duration * self.number / 100)
            case "event":
                return min(int(self.number), len(times))
            case "turn":
                index = int(self.number) - 1
                return times.turns[index] if 0 <= index < len(times.turns) else len(times)
            case "gen":
                marks = times.of([Kind.GENERATION])
                index = int(self.number) - 1
                return marks[index].count if 0 <= index < len(marks) else len(times)
            case "mark" if self.mark is not None:
                mark = times.mark(0, 1, [self.mark])
                return mark.count if mark is not None else len(times)
        return len(times)


def where(text: str) -> Where:
    """Read it. ValueError when it can't be."""
    said = text.strip().lower()
    if said == "end":
        return Where("end")
    if said in _JUMPS:
        return Where("mark", mark=_JUMPS[said])
    if match := _NUMBERED.fullmatch(said):
        return Where(match[1], int(match[2]))
    if said.endswith("%") and said[:-1].isdecimal() and int(said[:-1]) <= 100:
        return Where("share", int(said[:-1]))
    if said and (match := _DURATION.fullmatch(said)):
        hours, minutes, seconds = (float(part or 0) for part in match.groups())
        return Where("seconds", hours * 3600 + minutes * 60 + seconds)
    raise ValueError(f"{text!r} is no place in a run; there are: {FORMS}")
