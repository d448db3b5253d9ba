"""What a generation used, and how its attempts ended, in a sentence or two."""

from collections.abc import Sequence

from backends.observer.attempt import Attempt
from backends.observer.findings import quoted
from store.domain.limits import Spend
from store.domain.states import Ending


def spent(attempts: Sequence[Attempt], generation: int) -> str:
    """Attempts, turns, tokens, money and endings of one generation. What nobody knows is not called nothing."""
    total = sum((attempt.spend for attempt in attempts), Spend())
    count = f"{len(attempts)} attempt{'' if len(attempts) == 1 else 's'}"
    turns = sum(attempt.answers for attempt in attempts)
    tokens = f"{total.usage.total:,} tokens" if total.usage.total else "tokens not known"
    money = f", ${total.usd:.2f}{'' if total.priced else ' or more'}" if total.usd or total.priced else ""
    money = money if total.usage.total else ""
    return (
        f"Generation {generation}: {count}, {_solved(attempts)}; {turns} turns, {tokens}{money}. "
        f"How they ended: {_endings(attempts)}."
    )


def _solved(attempts: Sequence[Attempt]) -> str:
    solved = [attempt.subagent.label for attempt in attempts if attempt.solved]
    unknown = [attempt.subagent.label for attempt in attempts if not attempt.solved and not attempt.unsolved]
    named = f"{len(solved)} solved" + (f" ({', '.join(solved)})" if 0 < len(solved) < len(attempts) else "")
    checked = sum(attempt.checked is not None for attempt in attempts)
    if unknown and checked == len(attempts):
        return f"{named}, of the others it is not known" if solved else "whether that solved it is not known"
    return named


def _endings(attempts: Sequence[Attempt]) -> str:
    endings: dict[str, list[str]] = {}
    for attempt in attempts:
        endings.setdefault(_ending(attempt), []).append(attempt.subagent.label)
    if len(endings) == 1:
        return f"{len(attempts)} {next(iter(endings))}"
    return ", ".join(f"{len(labels)} {word} ({', '.join(labels)})" for word, labels in sorted(endings.items()))


def _ending(attempt: Attempt) -> str:
    if attempt.ending is None and not attempt.foreign:
        return "still at work"
    if attempt.foreign and attempt.ending in (None, Ending.SILENT):
        # A file of conversations has no word for it: what came last tells.
        last = attempt.steps[-1] if attempt.steps else None
        unread = last is not None and last.result is not None and not last.result.node
        return f"with what {quoted(last.name, 40)} answered" if last is not None and unread else "with words"
    return str(attempt.ending)
