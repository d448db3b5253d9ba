"""What the model is shown first: where the run stands, what is known, what each attempt did, and the spans of tapes
that the known rests on. The rest it can search for.

The same tapes give the same text: nothing in it is from a clock, and no name in it is a run's own.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from backends.observer.attempt import Attempt, Said, Step
from backends.observer.model.spans import Span, Spans
from backends.observer.shell import runs_check
from store.domain import failures
from store.domain.blocks import BlockKind
from store.domain.ids import SubagentId
from store.domain.observations import Document, Evidence, Observation, Status, Subject
from store.domain.observations.model import support
from store.domain.safe_text import safe
from store.domain.secrets import mask, shown_line
from store.domain.states import Validity

KNOWN = 80
"""Observations that are shown."""
STEPS = 60
"""Tool calls of one attempt that are shown: its first ones, and more of its last."""
FIRST = 15
AROUND = 350
"""Code points that are shown before and after what is cited."""
SPANS = 45_000
"""Code points of all spans together: about 12,000 tokens."""
LINE = 140

Judged = Mapping[SubagentId, tuple[Validity, str]]
Quoted = Callable[[Evidence], Span | None]
"""The block that evidence is in; None for one that is gone."""


def digest(attempts: Sequence[Attempt], judged: Judged, document: Document, spans: Spans, quoted: Quoted) -> str:
    """The first message to the model. `spans` gets the names of everything in it that can be quoted."""
    cited = _Cited(spans)
    parts = [_task(attempts, document), _known(document, cited, quoted)]
    parts += [_attempt(attempt, judged.get(attempt.subagent), cited) for attempt in attempts]
    return "\n\n".join([*parts, cited.text()])


def shown(name: str, span: Span, start: int, end: int) -> str:
    """A stretch of a span under its name, fenced so that it can't leave."""
    text = span.said.text
    left, right = max(0, start - AROUND), min(len(text), end + AROUND)
    if left and (newline := text.find("\n", left, start)) >= 0:
        left = newline + 1
    if right < len(text) and (newline := text.rfind("\n", end, right)) >= 0:
        right = newline
    piece = mask(safe(text[left:right]))
    fence = "```"
    while fence in piece:
        fence += "`"
    cut = f", {len(text):,} characters in all" if right - left < len(text) else ""
    what = {BlockKind.TOOL_RESULT: "a tool printed", BlockKind.TOOL_CALL: "asked of a tool"}.get(span.kind, "it said")
    return f"[{name}] {span.subagent.label} turn {span.said.turn}, {what}{cut}:\n{fence}\n{piece}\n{fence}"


class _Cited:
    """The spans that have been named, and which stretch of each is to be shown."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans
        self._shown: dict[str, tuple[Span, int, int]] = {}

    def name(self, span: Span, start: int = 0, end: int = 0, *, show: bool = False) -> str:
        name = self._spans.name(span)
        if name and show:
            self._shown.setdefault(name, (span, start, end))
        return name

    def text(self) -> str:
        """The stretches, as many as there is room for."""
        lines, room = ["# Spans"], SPANS
        for name, (span, start, end) in self._shown.items():
            piece = shown(name, span, start, end)
            if len(piece) <= room:
                lines.append(piece)
                room -= len(piece)
        left = len(self._shown) - len(lines) + 1
        return "\n\n".join([*lines, *([f"{left} more are left out: search for them."] if left else [])])


def _task(attempts: Sequence[Attempt], document: Document) -> str:
    goal, check = next(((a.goal, a.check) for a in attempts), ("", ""))
    number = attempts[0].subagent.generation if attempts else document.generation
    return "\n".join(
        [
            f"# Generation {number}",
            f"Goal: {shown_line(goal, 2000)}",
            f"Check: `{shown_line(check, 200)}`; whether it passed is the harness's word.",
        ]
    )


def _known(document: Document, cited: _Cited, quoted: Quoted) -> str:
    lines = ["# Observations so far"]
    # What a generation used is no lesson, and its money depends on who is asked.
    there = [o for o in document.observations if o.subject is not Subject.USAGE and o.status is not Status.EXPIRED]
    for o in [o for o in there if o.status is not Status.DROPPED][:KNOWN]:
        refs = ", ".join(dict.fromkeys(filter(None, (_evidence(e, cited, quoted) for e in o.evidence[:3]))))
        head = f"- {o.id} [{o.priority}] {o.claim}, {support(o)}, {_whose(o)}, {o.status}"
        lines.append(f"{head}: {shown_line(o.text, 400)}{f' ({refs})' if refs else ''}")
    dropped = [o for o in there if o.status is Status.DROPPED][-KNOWN:]
    lines += [f"- {o.id} was dropped by a person, and is not to come back: {shown_line(o.text, 200)}" for o in dropped]
    return "\n".join(lines if len(lines) > 1 else [*lines, "None."])


def _whose(o: Observation) -> str:
    return {"operator": "a person's", "model": "yours"}.get(o.author, "by rule")


def _evidence(evidence: Evidence, cited: _Cited, quoted: Quoted) -> str:
    span = quoted(evidence)
    return cited.name(span, evidence.start, evidence.end, show=True) if span is not None else ""


def _attempt(attempt: Attempt, judged: tuple[Validity, str] | None, cited: _Cited) -> str:
    validity, why = judged or ("not judged", "")
    result = "solved" if attempt.solved else "not solved"
    memory = ", without memory" if attempt.clean else ""
    head = f"# Attempt {attempt.subagent.label}: “{shown_line(attempt.strategy, 80)}”{memory}, {validity}, {result}"
    ended = f"Ended: {attempt.ending or 'still at work'}; {shown_line(why, 200)}"
    steps = list(enumerate(attempt.steps))
    lines = [head, ended]
    if len(steps) > STEPS:
        steps = [*steps[:FIRST], *steps[FIRST - STEPS :]]
    before = -1
    checks = [at for at, step in steps if runs_check(step.argument("command"), attempt.check) is not None]
    for at, step in steps:
        if at != before + 1:
            lines.append(f"  … {at - before - 1} more, which the search finds")
        before = at
        lines.append(_step(attempt, step, cited, show=bool(checks) and at == checks[-1]))
    if attempt.said:
        lines += _last_words(attempt, attempt.said[-1], cited)
    return "\n".join(lines)


def _step(attempt: Attempt, step: Step, cited: _Cited, *, show: bool) -> str:
    asked = cited.name(Span(attempt.subagent, step.asked, BlockKind.TOOL_CALL))
    given = " ".join(_given(step))
    line = f"- turn {step.asked.turn} {_ref(asked)}{shown_line(f'{step.name} {given}', LINE)}"
    if step.result is None:
        return f"{line} → no result"
    span = Span(attempt.subagent, step.result, BlockKind.TOOL_RESULT)
    ran = step.ran
    told = ran.output if ran is not None else step.result.text
    start = ran.start if ran is not None else 0
    name = cited.name(span, max(start, len(step.result.text) - AROUND), len(step.result.text), show=show)
    outcome = "went well" if step.ok else "refused"
    if ran is not None:
        outcome = "timed out" if ran.timed_out else f"exit {ran.exit_code}"
    counted = failures.find(told)
    last = next((text for text in reversed(told.split("\n")) if text.strip()), "")
    if counted is not None:
        last = told[counted.start : counted.end]
    return f"{line} → {_ref(name)}{outcome}: {shown_line(last, LINE)}"


def _given(step: Step) -> Iterator[str]:
    """What a tool was given: of our own tools what tells most, of others' all that is short."""
    known = [value for name in ("command", "path", "pattern", "query") if (value := step.argument(name))]
    if known:
        yield from known
        return
    for name, value in step.input.items():
        if isinstance(value, str | int | float) and len(str(value)) <= LINE:
            yield f"{name}={value}"


def _last_words(attempt: Attempt, said: Said, cited: _Cited) -> list[str]:
    name = cited.name(Span(attempt.subagent, said, BlockKind.TEXT))
    return [f"- its last words {_ref(name)}{shown_line(said.text, 300)}"]


def _ref(name: str) -> str:
    return f"[{name}] " if name else ""
