"""How a finding is made: made safe, flagged where it must be, and with the attempt that it is from."""

import re
from collections.abc import Iterable, Sequence

from backends.observer.attempt import Attempt
from store.domain.observations import Claim, Evidence, Observation, Subject, fingerprint, priority
from store.domain.safe_text import safe, safe_line
from store.domain.suspicion import flags, without_colour

TEXT = 600
"""Characters of the longest text."""

_LONG = re.compile(r"\S{200,}")


def finding(
    attempt: Attempt,
    subject: Subject,
    claim: Claim,
    text: str,
    *,
    mark: str,
    evidence: Iterable[Evidence],
    excerpt: Sequence[str] = (),
    source: str = "",
) -> Observation:
    """An observation by one attempt, not yet in a document. `mark` is its fingerprint; `source` is what it quotes, as
    it came."""
    text = without_colour(text)
    generation = attempt.subagent.generation
    return Observation(
        id="",
        fingerprint=mark,
        subject=subject,
        priority=priority(subject, claim, 1),
        claim=claim,
        text=safe_line(text, TEXT),
        excerpt=tuple(safe(line).replace("\n", "␊") for line in excerpt),
        evidence=tuple(dict.fromkeys(evidence)),
        attempts=(attempt.subagent,),
        first=generation,
        last=generation,
        flags=flags(f"{text}\n{without_colour(source)}", "\n".join(excerpt)),
    )


def quoted(text: str, width: int = 160) -> str:
    """A piece of what a tool or a model said, as one line in a code span that it cannot leave."""
    return f"`{safe_line(without_colour(text), width).replace('`', chr(39))}`"


def marked(subject: Subject, *parts: str) -> str:
    """A fingerprint of texts with what differs from one attempt to the next masked."""
    return fingerprint(subject, *map(masked, parts))


_QUOTES = str.maketrans(dict.fromkeys("‘’‚‛", "'") | dict.fromkeys("“”„‟", '"'))
_HERE = re.compile(r"(?<![\w./-])\./(?=[\w.])")

_MASKS = (
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE), "<uuid>"),
    (re.compile(r"\b0x[0-9a-f]+\b", re.IGNORECASE), "<hex>"),
    # A digit and a letter at least: plain words such as "deadbeef" and "facade" stay.
    (re.compile(r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{8,}\b", re.IGNORECASE), "<hex>"),
    (re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"), "<time>"),
    (re.compile(r"\b\d\d:\d\d:\d\d(?:[.,]\d+)?\b"), "<time>"),
    (re.compile(r"(?:/(?:tmp|var/folders|private/tmp))/[^\s'\":,)]+"), "<tmp>"),
    (re.compile(r"\d+(?:\.\d+)?"), "<n>"),
)


def masked(text: str) -> str:
    """The text without numbers, times, addresses, digests and throw-away paths, and with one kind of quotes."""
    text = _HERE.sub("", text.translate(_QUOTES))
    for pattern, word in _MASKS:
        text = pattern.sub(word, text)
    return _LONG.sub("<long>", text)
