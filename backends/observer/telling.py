"""The line of an output that says why a command failed, by its form.

A failed command's output ends with lines that say no more than that it failed: "Finished: FAILURE", "Error 2", "Process
completed with exit code 1". They are the same for every failure, so two failures that have nothing in common would
count as one. What says something is looked for instead, the strongest form first: a place in a file with what is wrong
there, then what is marked as an error, then what only names one. Of the strongest the first counts: what follows it
often follows from it.
"""

import re

from store.domain.suspicion import without_colour

NAMES_ERROR = re.compile(
    r"\b(?:\w*error|fatal|panic|\w*exception|cannot|can't|could not|couldn't|unable to|denied|not found|no such|"
    r"no module|refused|failed|failure|invalid|unrecognized|undefined|undeclared|unknown|abort(?:ed)?|killed|"
    r"segmentation fault|no rule|unexpected|unsupported|missing|usage|not up-to-date)\b|<<< ?fail",
    re.IGNORECASE,
)
_WHEN = re.compile(
    r"\s*(?:\[?\d{4}-\d\d-\d\d[T ][\d:.,]+(?:Z|[+-]\d\d:?\d\d)?\]?\s+|\[?\d\d:\d\d:\d\d(?:[.,]\d+)?\]?\s+)?"
)
"""When a line was printed, as CI systems put it in front."""
_LEVEL = re.compile(
    r"(?:\[\s*(?:error|fatal|severe)\s*\]|##\[error\]|npm err!|npm error|error\b:?|e\s{2,})?\s*[|│╷>*-]*\s*",
    re.IGNORECASE,
)
_MARKED = re.compile(r"\W*(?:\w*error|fatal|panic|\w*exception|err!)\b(?:\[\w+\])?\s*[:!\]]+\s*\S", re.IGNORECASE)
_LOCATED = re.compile(r"[\w./\\@+-]+\.\w+(?::\d+(?::\d+)?|\(\d+(?:,\d+)?\)|:\[\d+,\d+\]):?\s+\S")
_SAYS_NOTHING = re.compile(
    r"\b(?:errors?|errored|fail(?:ed|ures?|ing)?|fatal|unsuccessful|abort(?:ed|ing)?|stop(?:ped|ping)?|err|"
    r"builds?|building|process(?:es)?|complet(?:ed?|ing)|finished|commands?|recipe|target|goals?|tasks?|steps?|jobs?|tests?|"
    r"shell|script|execut(?:e|ing|ion)|run(?:ning)?|exit(?:ed|ing)?|return(?:ed)?|status|code|results?|number|total|"
    r"make|mvn|maven|gradle|npm|yarn|lifecycle|marked|generated|warnings?|previous|above|below|"
    r"see|read|re-?run|use|try|enable|resume|correcting|please|possible|solutions|following|articles|more|information|"
    r"details?|full|debug|logs?|logging|stack|trace|switch|options?|help|insights|problems|"
    r"non-?zero|due|what|went|wrong|some|something|has|have|been|is|was|were|are|did|do|does|could|not|can|you|there|"
    r"after|because|again|with|the|an?|and|or|of|in|on|it|its|this|to|as|for|all|about)\b"
    r"|https?:\S+|[\d\W_]+",
    re.IGNORECASE,
)
"""What every failure can say of itself, and every program of where to read on."""
MARKED, LOCATED = 2, 3
_WIDE = 2000
"""Characters of a line in which its form has to show."""
_LEAST = 4
"""Letters beside these from which on a line says something."""


def telling_line(output: str, exit_code: int) -> tuple[str, int] | None:
    """The line that says why a command failed, and its place. Where none names an error, the last line, unless the exit
    code is 1, which is also a plain "no"."""
    last: tuple[str, int] | None = None
    best: tuple[str, int] | None = None
    strongest = start = 0
    for line in output.split("\n"):
        if any(map(str.isalnum, line)):
            begin = _WHEN.match(line).end()  # type: ignore[union-attr]  # it matches nothing, too
            text = line[begin:].strip() or line.strip()
            last = (text, start + line.index(text))
            if (force := strength(text)) > strongest:
                best, strongest = last, force
        start += len(line) + 1
    return best or (last if exit_code != 1 else None)


def strength(line: str) -> int:
    """How much a line tells of an error: 0 for nothing, or for no more than that there is one; 1 for a line that names
    one, 2 for one that is marked as one, 3 for one with its place in a file."""
    plain = without_colour(line[:_WIDE])
    if not NAMES_ERROR.search(plain):
        return 0
    marked = _MARKED.match(plain) is not None
    rest = _LEVEL.sub("", plain, count=1)
    if len(_SAYS_NOTHING.sub("", rest)) < _LEAST:
        return 0
    if _LOCATED.match(rest):
        return LOCATED
    return MARKED if marked else 1
