"""What the grid says before there is a subagent to show. Pure."""

from app import actions
from app.nodes import check
from app.world import Track
from store.domain.secrets import shown_line
from widgets.ink import Line

_PREPARING = 12
"""Lines shown of an image that is built."""

_BASELINE = (
    "It has to fail, each time alike, before a subagent is started: a check that passes before anything is changed, or "
    "that disagrees with itself, would make every verdict worthless."
)


def waiting(track: Track | None) -> list[Line]:
    """The lines of the empty grid."""
    if track is None:
        return [[("No run to show.", "strong")], [], [(actions.key("runs"), "key"), (" lists the runs; ", "text"),
                ("multitrack demo", "accent"), (" makes one.", "text")]]  # fmt: skip
    if not track.read:
        return [[("Reading the run …", "faint")]]
    if track.board.preparing:
        latest = track.board.preparing[-_PREPARING:]
        return [[("The sandboxes are made ready.", "strong")], [], *([(shown_line(said), "faint")] for said in latest)]
    lines: list[Line] = [[("The check is tried on the unchanged code first.", "strong")], [], [(_BASELINE, "text")]]
    baseline = track.board.baseline
    for result in baseline.results if baseline else ():
        lines += [[], *check(result)]
    return lines
