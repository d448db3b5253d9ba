"""A node made an observation: a line of the operator's own in the observations, which says where it was seen."""

import re

from store.domain.observations import Priority
from store.domain.secrets import shown_line

QUOTED = 160
"""Characters of the node that the observation quotes."""
_FENCE = re.compile(r"`{3,}|~{3,}")
_HEADING = re.compile(r"#{1,6} +\[?(important|possible|informational)\]? *#*\s*$", re.IGNORECASE)


def with_observation(text: str, priority: Priority, words: str, seen: str, quote: str) -> str:
    """The text of the observations with one more at the end of a priority's; `seen` says where, `quote` what was there.
    A priority that the text has no heading for gets one at the end."""
    said = [shown_line(line) for line in words.strip().split("\n") if line.strip()]
    # What looks like an id would be read as one.
    first = re.sub(r"^[(\s]*(?=o-)", "", said[0]) if said else shown_line(seen)
    item = [f"- {first or shown_line(seen)}", *(f"  {line}" for line in said[1:])]
    fences = [found[0] for line in said[1:] if (found := _FENCE.match(line))]
    if len(fences) % 2:
        item.append(f"  {fences[0]}")
    cited = shown_line(quote, QUOTED)
    item.append(f"  Seen in {shown_line(seen)}{f': “{cited}”' if cited else ''}")
    lines = text.rstrip("\n").split("\n")
    own = next((at for at, line in enumerate(lines) if _priority(line) == priority.value), None)
    if own is None:
        return "\n".join([*lines, "", f"## [{priority.value}]", "", *item]) + "\n"
    stop = next((at for at in range(own + 1, len(lines)) if lines[at].startswith("#")), len(lines))
    before = "\n".join(lines[:stop]).rstrip("\n")
    after = lines[stop:]
    return "\n".join([before, "", *item, *(["", *after] if after else [])]) + "\n"


def _priority(line: str) -> str:
    found = _HEADING.match(line)
    return found[1].lower() if found else ""
