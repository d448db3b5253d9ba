"""What the grid says before there is a subagent to show. Pure."""

import re

from app import actions
from app.nodes import check
from app.world import Track
from store.domain.secrets import shown_line
from widgets.ink import Line

_PREPARING = 12
"""Lines shown of an image that is built."""
_STEP = re.compile(r"(?:\S+: )?Step \d+/\d+ ")
"""How Docker begins a step of a build; before it is the host, where there are several."""

_BASELINE = (
    "It has to fail, each time alike, before a subagent is started: a check that passes before anything is changed, or "
    "that disagrees with itself, would make every verdict worthless."
)


def waiting(track: Track | None, cells: int) -> list[Line]:
    """The lines of the empty grid, in a room of so many cells."""
    if track is None:
        return [[("No run to show.", "strong")], [], [(actions.key("runs"), "key"), (" lists the runs; ", "text"),
                ("multitrack demo", "accent"), (" makes one.", "text")]]  # fmt: skip
    if not track.read:
        return [[("Reading the run …", "faint")]]
    if track.interrupted and track.board.left:
        return [[("The engine left before a subagent could be started.", "strong")], [],
                [(shown_line(track.board.left), "bad")], [],
                [(actions.key("resume"), "key"),
                 (" starts another one, which goes on where this one stood.", "text")]]  # fmt: skip
    if track.board.preparing:
        # A row each, so that the latest is seen.
        latest = [shown_line(said, cells) for said in track.board.preparing]
        step = next((said for said in reversed(latest) if _STEP.match(said)), "")
        told = [(said, "text" if said == step else "faint") for said in latest[-_PREPARING:]]
        above: list[Line] = [[(step, "text")]] if step and step not in latest[-_PREPARING:] else []
        return [[("The sandboxes are being made ready.", "strong")], [], *above, *([span] for span in told)]
    lines: list[Line] = [[("The check is tried on the unchanged code first.", "strong")], [], [(_BASELINE, "text")]]
    baseline = track.board.baseline
    for result in baseline.results if baseline else ():
        lines += [[], *check(result)]
    return lines
