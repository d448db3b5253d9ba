"""The report of a run, in Markdown: what failed, what was learned, how it converged, what proves it, what it cost.

A pure function of the board and the observations. Runtime text goes into fences or code spans that it cannot leave.
"""

from collections import Counter
from collections.abc import Iterable

from store.domain import effect_words as words
from store.domain.board import Board, Generation, Lane, best_lane
from store.domain.effect import Verdict, effects
from store.domain.events import CheckResult
from store.domain.ids import SubagentId
from store.domain.limits import LIMITS_RAISED, Limits, Spend, in_words
from store.domain.observations import Document, live
from store.domain.safe_text import safe, safe_line
from store.domain.secrets import mask
from store.domain.states import Ending, RunState
from store.domain.task import Memory

PATCH_LINES = 400
"""Lines of the patch shown; the whole is in the patch file."""

_MEMORY = {
    Memory.NONE: "**Control run without memory:** no lane was told anything of earlier attempts.",
    Memory.SHUFFLED: "**Control run with shuffled memory:** the lanes were told what was learned on another task.",
}


def report(
    board: Board,
    document: Document | None,
    patch: bytes,
    *,
    now: float,
    ending: tuple[RunState, str] | None = None,
) -> str:
    """The report as it stands. `ending` is the run's end where it is not yet an event. It is made to be handed on, so
    secrets are hidden in it, also those that the patch has."""
    parts = [
        _head(board, ending, now),
        _convergence(board),
        _learned(document),
        _effect(board, document),
        _failed(board),
        _patch(board, patch),
        _costs(board, now),
        _lanes(board),
    ]
    return mask("\n\n".join(part for part in parts if part) + "\n")


def _head(board: Board, ending: tuple[RunState, str] | None, now: float) -> str:
    task, order = board.task, board.order
    assert order is not None
    state, reason = ending or (
        (board.finished.state, board.finished.reason) if board.finished else (board.state, "The run is not over.")
    )
    lines = [
        f"# {safe_line(order.title)}: {state}",
        "",
        safe_line(reason),
        "",
        f"- Run: `{board.run}`, seed {order.seed}",
        f"- Goal: {safe_line(task.goal)}",
        f"- Repository: {code(task.repository)} at `{order.revision[:12]}`",
        f"- Check: {code(task.check.command)}",
        f"- Model: {'scripted model, no LLM' if order.scripted else code(task.model)}",
        *([f"- Answered from the tape of run `{order.replay.run}`"] if order.replay is not None else []),
        "- Sandbox: "
        + ("docker" if task.sandbox == "docker" else "local (no wall: programs ran with the operator's rights)"),
        *([f"- Agent: {code(task.agent)}"] if task.agent != "builtin" else []),
        f"- Time: {duration(board.spent(now).seconds)} of work",
    ]
    if task.memory in _MEMORY:
        lines += ["", _MEMORY[task.memory]]
    if board.alerts:
        lines += ["", *(f"- **Alert:** {code(alert)}" for alert in board.alerts)]
    return "\n".join(lines)


def _convergence(board: Board) -> str:
    if not board.generations:
        return ""
    rows = [
        (
            str(generation.number),
            f"{generation.solved(clean=False)} of {generation.count(clean=False)}",
            f"{generation.solved(clean=True)} of {generation.count(clean=True)}"
            if generation.count(clean=True)
            else "–",
            str(generation.known),
            str(generation.injected),
            _fewest(generation),
            money(generation.spend),
        )
        for generation in board.generations.values()
    ]
    head = ("generation", "solved", "clean lanes solved", "observations known", "injected", "fewest failures", "cost")
    return "\n\n".join(["## How it converged", table(head, rows), "```text\n" + chart(board) + "\n```"])


def chart(board: Board, width: int = 40) -> str:
    """The lines by generation as bars: observations known, lanes solved, clean lanes solved."""
    generations = list(board.generations.values())
    most = max((generation.known for generation in generations), default=0)
    lines = []
    for title, values, top in (
        ("observations", [generation.known for generation in generations], most),
        (
            "solved",
            [g.solved(clean=False) for g in generations],
            max((g.count(clean=False) for g in generations), default=0),
        ),
        (
            "clean solved",
            [g.solved(clean=True) for g in generations],
            max((g.count(clean=True) for g in generations), default=0),
        ),
    ):
        if not top:
            continue
        lines.append(f"{title} (of {top})")
        for generation, value in zip(generations, values, strict=True):
            bar = "█" * round(width * value / top)
            lines.append(f"  gen {generation.number:>2} │{bar:<{width}}│ {value}")
    return "\n".join(lines)


def _fewest(generation: Generation) -> str:
    counted = [
        lane.checked.result.failures
        for lane in generation.lanes.values()
        if lane.checked and lane.checked.result and lane.checked.result.failures is not None
    ]
    return str(min(counted)) if counted else "–"


def _learned(document: Document | None) -> str:
    observations = live(document) if document is not None else ()
    if not observations:
        return "## What was learned\n\nNothing was observed."
    lines = ["## What was learned", ""]
    counts = Counter(observation.priority for observation in observations)
    lines.append(
        ", ".join(f"{count} {priority}" for priority, count in counts.items()) + ". The whole is in `observations.md`."
    )
    lines.append("")
    for observation in observations:
        if observation.priority == "important":
            support = len(observation.attempts)
            attempts = "1 attempt" if support == 1 else f"{support} attempts"
            lines.append(f"- `{observation.id}` {observation.claim}, {attempts}: {safe_line(observation.text)}")
    return "\n".join(lines)


def _effect(board: Board, document: Document | None) -> str:
    """Whether it helped: the pair of curves, memory against clean, and each observation's lanes beside the others."""
    found = effects([(board, document)])
    if board.task.memory is not Memory.OWN or not any(one.given.count.lanes for one in found.effects):
        return ""
    rows = [
        (
            f"`{one.id}`",
            words.of(best.given.count),
            words.of(best.without.count),
            "others" if best is one.memory else "clean",
            f"{words.points(best.solved.estimate)} ({words.between(best.solved.interval)})",
            words.says(one),
            f"{one.shown} of {one.cited}" if one.cited else "–",
        )
        for one in found.effects
        if (best := one.best).solved is not None and (best.solved.sure or one.cited or one.quarantine)
    ]
    tested = [one for one in found.effects if one.best.solved is not None]
    few = sum(one.best.verdict is Verdict.OPEN for one in tested)
    summary = f"Of {len(tested)} observations that lanes can be compared by, {few}: too few to say. "
    head = ("observation", "told", "without", "beside", "points, 95 % interval", "says", "cited, and shown")
    return "\n\n".join(
        filter(
            None,
            [
                "## Does it help?",
                words.overall(found),
                f"```text\n{words.curves(found.pairs)}\n```",
                summary + f"`multitrack effect {board.run}` has them all." if tested else "",
                table(head, rows) if rows else "",
                "\n".join(
                    f"- Proposed for quarantine: `{o.id}`, {o.quarantine}." for o in found.effects if o.quarantine
                ),
                " ".join(words.caveats(found)),
            ],
        )
    )


def _failed(board: Board) -> str:
    lanes = list(_lanes_of(board))
    if not lanes:
        return ""
    endings = Counter(str(lane.ended.ending) for lane in lanes if lane.ended and not lane.solved)
    validity = Counter(str(lane.validity) for lane in lanes if lane.validity and not lane.solved)
    if not endings:
        return "## What failed\n\nNo attempt failed."
    return "\n\n".join(
        [
            "## What failed",
            table(("how it ended", "attempts"), [(name, str(count)) for name, count in endings.most_common()]),
            table(("what it can teach", "attempts"), [(name, str(count)) for name, count in validity.most_common()]),
        ]
    )


def _patch(board: Board, patch: bytes) -> str:
    best = best_lane(board)
    if best is None or best.checked is None:
        return "## The patch\n\nNo attempt left a patch."
    checked = best.checked
    text = safe(patch.decode("utf-8", "replace"))
    lines = text.splitlines()
    shown = "\n".join(lines[:PATCH_LINES])
    worth = "Solved" if checked.solved else "Best, not solved"
    size = f"+{checked.insertions} −{checked.deletions} in {len(checked.files)} files"
    summary = (
        f"{worth}: subagent {best.id.label}, “{safe_line(best.plan.strategy.name)}”, {size}. "
        f"`multitrack patch {board.run}` prints it, `--apply BRANCH` puts it on a branch."
    )
    parts = ["## The patch", summary, fence(shown, "diff")]
    if len(lines) > PATCH_LINES:
        parts.append(f"{len(lines) - PATCH_LINES} more lines in the patch file.")
    if checked.result is not None:
        parts += [
            f"The check on it, in a clean sandbox: {verdict(checked.result)}.",
            fence(safe(checked.result.tail), "text"),
        ]
    return "\n\n".join(parts)


def verdict(result: CheckResult) -> str:
    """A check's result in a few words."""
    if result.broken:
        return safe_line(result.broken)
    if result.exit_code is None:
        return f"timed out after {result.seconds:.0f} s"
    counted = "" if result.failures is None else f", {result.failures} failures"
    return f"{'passed' if result.passed else 'failed'} (exit code {result.exit_code}{counted})"


def _costs(board: Board, now: float) -> str:
    lanes = list(_lanes_of(board))
    if not lanes:
        return ""
    by_model: dict[str, Spend] = {}
    for lane in lanes:
        name = code(lane.model or "–")
        by_model[name] = by_model.get(name, Spend()) + lane.spend
    for generation in board.generations.values():
        asked = generation.observing
        if asked.usage.total or asked.turns:
            name = f"{code(generation.reader or board.task.observer_model)} (observer)"
            by_model[name] = by_model.get(name, Spend()) + asked
    rows = [
        (
            model,
            str(spend.turns),
            f"{spend.usage.input:,}",
            f"{spend.usage.output:,}",
            f"{spend.usage.cache_read:,}",
            f"{spend.usage.cache_write:,}",
            money(spend),
        )
        for model, spend in by_model.items()
    ]
    notes = (
        [] if all(spend.priced for spend in by_model.values()) else ["≥: calls whose price is unknown are not counted."]
    )
    if board.order and board.order.scripted:
        notes.append("The scripted model costs nothing; its tokens are priced as a mid-size model's, for scale.")
    head = ("model", "turns", "input", "output", "cache read", "cache write", "cost")
    return "\n\n".join(["## What it cost", table(head, rows), *notes])


def _lanes(board: Board) -> str:
    rows = [
        (
            lane.id.label,
            safe_line(lane.plan.strategy.name) + (" (clean)" if lane.plan.clean else ""),
            str(lane.state),
            str(lane.ended.ending) if lane.ended else "–",
            verdict(lane.checked.result) if lane.checked and lane.checked.result else "–",
            str(lane.turn),
            money(lane.spend),
            code(note) if (note := _note(lane)) else "",
        )
        for lane in _lanes_of(board)
    ]
    head = ("subagent", "strategy", "state", "ended by", "check", "turns", "cost", "note")
    return "## Every attempt\n\n" + table(head, rows) if rows else ""


def _note(lane: Lane) -> str:
    """What the operator should know of an attempt: first of all, what of it was their own doing."""
    said = lane.ended.detail if lane.ended and lane.ended.ending is not Ending.SUBMITTED else ""
    return "; ".join(filter(None, [_by_hand(lane), lane.alert or said]))


def _by_hand(lane: Lane) -> str:
    source = lane.forked_from
    told = sum(one.turn is not None and not one.text.startswith(LIMITS_RAISED) for one in lane.steering)
    parts = [
        f"forked from {SubagentId.parse(source.subagent).label}, turn {source.turn}" if source is not None else "",
        f"told {told} {'thing' if told == 1 else 'things'} by the operator" if told else "",
        f"limits raised to {in_words(lane.raised)}" if lane.raised != Limits() else "",
    ]
    return ", ".join(filter(None, parts))


def _lanes_of(board: Board) -> Iterable[Lane]:
    for generation in board.generations.values():
        yield from generation.lanes.values()


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    heads = list(head)
    lines = [heads, ["---"] * len(heads), *(list(row) for row in rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def fence(text: str, language: str) -> str:
    """A fenced block that its text cannot close."""
    longest = max((len(line) - len(line.lstrip("`")) for line in map(str.strip, text.splitlines())), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}{language}\n{text}\n{ticks}"


def code(text: str) -> str:
    """A code span that its text cannot leave."""
    line = safe_line(text).replace("`", "ˋ")
    return f"`{line}`"


def money(spend: Spend) -> str:
    """US dollars; `≥` where some price is unknown."""
    return f"{'' if spend.priced else '≥ '}${spend.usd:.2f}"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
