"""What the numbers of `store.domain.effect` say, in words that claim no more than they show."""

from collections.abc import Sequence

from store.domain.effect import Comparison, Effect, Effects, Pair, Sample, Verdict
from store.domain.intervals import Count, Interval, by_chance


def points(share: float) -> str:
    """A difference of shares in percentage points: `+56`, `−3`, `0`."""
    number = round(100 * share)
    return f"{number:+d}".replace("-", "−") if number else "0"


def between(interval: Interval) -> str:
    """An interval of differences: `−12 to +83`."""
    return f"{points(interval.low)} to {points(interval.high)}"


def of(count: Count) -> str:
    """`3 of 4`, or `–` where there are none."""
    return f"{count.solved} of {count.lanes}" if count.lanes else "–"


def spread(sample: Sample) -> str:
    """A solved share with its own interval: `75 % (22 to 99)`; "" without lanes."""
    share, interval = sample.count.share, sample.interval
    if share is None or interval is None:
        return ""
    return f"{100 * share:.0f} % ({100 * interval.low:.0f} to {100 * interval.high:.0f})"


def compared(found: Comparison, without: str = "without") -> str:
    """A comparison in a sentence. `without` is what the lanes on the other side are called."""
    if found.solved is None:
        return "There are no lanes to compare with."
    said = (
        f"{of(found.given.count)} solved with it, {of(found.without.count)} {without}: {points(found.solved.estimate)} "
        f"points, 95 % interval {between(found.solved.interval)}; pure chance does as much {by_chance(found.solved)}."
    )
    if found.verdict is Verdict.OPEN:
        return f"{said} Too few to say."
    return f"{said} {'It does better' if found.verdict is Verdict.HELPS else 'It does worse'}."


def cost(found: Comparison) -> str:
    """What a lane with it costs more or less, in a sentence; "" where nobody knows a price."""
    if found.usd is None:
        return ""
    less = "less" if found.usd.estimate < 0 else "more"
    said = f"A lane with it costs ${abs(found.usd.estimate):.2f} {less}"
    if found.usd.interval is None:
        return f"{said}; of so few lanes there is no interval of 95 %."
    low, high = found.usd.interval.low, found.usd.interval.high
    return f"{said}, 95 % interval {_money(low)} to {_money(high)}."


def _money(usd: float) -> str:
    return f"{'−' if usd < 0 else '+'}${abs(usd):.2f}"


def says(effect: Effect) -> str:
    """What the comparison that says most shows, in a few words. Beside clean lanes it is not this observation alone."""
    if effect.best is effect.memory:
        return str(effect.memory.verdict)
    alone = {Verdict.HELPS: "better than clean", Verdict.HARMS: "worse than clean"}
    return alone.get(effect.clean.verdict, str(effect.clean.verdict))


def told(effect: Effect) -> list[str]:
    """All that is to be said of one observation, a sentence each."""
    if not effect.given.count.lanes:
        return ["No lane with a verdict has been told it yet."]
    runs = f" of {effect.runs} runs" if effect.runs > 1 else ""
    lines = [f"Told to {_lanes(effect.given.count.lanes)}{runs}; {of(effect.given.count)} solved."]
    if effect.memory.solved is not None:
        lines.append("Beside lanes told other observations: " + compared(effect.memory))
        lines += filter(None, [cost(effect.memory)])
    if effect.clean.solved is not None:
        lines.append("Beside clean lanes, which are told nothing at all: " + compared(effect.clean, "clean"))
        lines += filter(None, [cost(effect.clean)])
    if effect.best.solved is None:
        lines.append("Every lane of those generations was told it: there is nothing to compare with.")
    if effect.cited:
        lines.append(f"{_lanes(effect.cited)} said they used it; the tape shows it in {effect.shown}.")
    if effect.quarantine:
        lines.append(f"Proposed for quarantine: {effect.quarantine}.")
    return lines


def overall(found: Effects) -> str:
    """Memory beside clean lanes, in a sentence."""
    if found.overall.solved is None:
        return "No generation has both lanes that were told something and clean ones: nothing to compare yet."
    sentence = compared(found.overall, "clean").replace("solved with it", "lanes with memory solved", 1)
    return sentence.replace("It does", "Memory does")


def caveats(found: Effects) -> list[str]:
    """What a reader has to know not to believe too much."""
    lines = []
    tested = sum(one.best.solved is not None for one in found.effects)
    if tested > 1:
        lines.append(
            f"{tested} observations are compared at once: of twenty that do nothing, one looks sure by luck alone."
        )
    if found.overall.solved is not None and found.overall.generations == 1:
        lines.append("One generation alone can hardly show anything; over generations and runs it adds up.")
    if any(one.best.solved is not None for one in found.effects):
        lines.append("Lanes are compared within a generation, so a difference is not that of the two sums beside it.")
    if any(one.clean.solved is not None for one in found.effects):
        lines.append(
            "A clean lane lacks every observation at once, and has a strategy of its own: beside it no single "
            "observation can be told apart from the others."
        )
    if found.left_out:
        why = ", ".join(f"{count} {reason}" for reason, count in sorted(found.left_out.items()))
        lines.append(f"Lanes that don't count here: {why}.")
    return lines


def curves(pairs: Sequence[Pair], width: int = 30) -> str:
    """The pair of curves as bars with their intervals: solved share by generation, memory above clean."""
    lines = []
    for pair in pairs:
        for name, sample in (("memory", pair.memory), ("clean", pair.clean)):
            share, interval = sample.count.share, sample.interval
            if share is None or interval is None:
                continue
            low, mark, high = (round(width * value) for value in (interval.low, share, interval.high))
            bar = "".join("●" if at == mark else "─" if low <= at <= high else " " for at in range(width + 1))
            lines.append(f"gen {pair.number:>2} {name:<6} │{bar}│ {of(sample.count):>8}  {spread(sample)}")
    return "\n".join(lines)


def _lanes(count: int) -> str:
    return "1 lane" if count == 1 else f"{count} lanes"
