"""How runs converge, as it is drawn: what stands where at which size. Knows the numbers, no screen and no record."""

from collections.abc import Sequence

from store.domain.convergence import Arm, Convergence, Outcome, Point, Tally
from store.domain.secrets import shown_line
from store.domain.task import Memory
from widgets import words
from widgets.chart import Series, chart, spark
from widgets.ink import Line
from widgets.plots import Cell, Ranked, Row, beside, grid, ranked

SIDE = 100
"""Cells from which charts stand beside each other."""
GAP = 4
_ARMS = {
    Arm.MEMORY: ("●", "good"),
    Arm.CLEAN: ("○", "warn"),
    Arm.SHUFFLED: ("◆", "accent"),
}
_MOST_ROWS = 40
"""Rows of one table."""


def page(numbers: Convergence, cells: int, height: int) -> list[Line]:
    """Everything, from what tells most to the single numbers. `cells` by `height` is the room; more is scrolled to."""
    if not numbers.points:
        return nothing(numbers)
    tall = max(8, min((height - 4) // 2, 16)) if cells < SIDE else max(9, min(height // 2 - 4, 20))
    lines = [*headline(numbers), []]
    lines += _charts(numbers, cells, tall)
    side = cells >= SIDE
    room = (cells - GAP) // 2 if side else cells
    strategies = _strategies(numbers, room)
    failures, models = _failures(numbers, room), _models(numbers, room)
    rest = [*failures, [], *models] if failures else models
    lines += [[], *(beside(strategies, rest, room, GAP) if side else [*strategies, [], *rest])]
    lines += [[], *_generations(numbers)]
    return [*lines, [], *_runs(numbers, cells)] if len(numbers.runs) > 1 else lines


def nothing(numbers: Convergence) -> list[Line]:
    """What is said, and what can be done, where there is no generation yet."""
    if not numbers.runs:
        return [
            [("No run to show.", "strong")],
            [],
            [("This screen draws how a run converges: observations and solved subagents, by generation.", "text")],
            [],
            [("  multitrack demo", "accent"), ("   makes one in a minute: no key, no network", "text")],
            [("  1", "key"), ("                 lists the runs there are", "text")],
        ]
    return [
        [("No generation has been designed yet.", "strong")],
        [],
        [("The lines begin with the first generation, and are drawn as its subagents get their verdicts.", "text")],
        [],
        [("  2", "key"), ("  the grid shows how far it is", "text")],
        [("  a", "key"), ("  adds the other runs of the same task, then all runs", "text")],
    ]


def headline(numbers: Convergence) -> list[Line]:
    """What the numbers come to, in words."""
    first, runs = numbers.first_solved, len(numbers.runs)
    if runs > 1:
        solved = numbers.solved_by(numbers.points[-1].number)
        said: Line = [(f"{runs} runs", "strong"), (f", {solved} of them solved", "good" if solved else "text")]
        said += [(f", the first in generation {first}", "text")] if first is not None else []
    elif first is None:
        said = [("Not solved yet" if not _over(numbers) else "Not solved", "warn" if _over(numbers) else "strong")]
    else:
        said = [(f"Solved first in generation {first}", "good")]
    lines: list[Line] = [[*said, (".", "text")]]
    compared: Line = []
    for arm, tally in sorted(numbers.arms.items(), key=lambda each: list(Arm).index(each[0])):
        if tally.judged:
            glyph, ink = _ARMS[arm]
            compared += [("   " if compared else "", "text"), (f"{glyph} ", ink)]
            compared += [(f"{arm} {tally.solved} of {tally.judged}", "text"), (f" ({tally.share:.0%})", "strong")]
    if compared:
        lines.append([("From generation 2 on: ", "faint"), *compared])
    elif any(arm is not Arm.CLEAN for point in numbers.points for arm in point.arms):
        lines.append([("From generation 2 on, lanes with memory are compared with clean ones.", "faint")])
    return lines


def _over(numbers: Convergence) -> bool:
    return len(numbers.points) >= numbers.planned and all(point.over for point in numbers.points)


def _charts(numbers: Convergence, cells: int, tall: int) -> list[Line]:
    """The two lines, on axes of their own: counts of two kinds share no scale. Over several runs, shares."""
    several, points = len(numbers.runs) > 1, numbers.points
    count = max(numbers.planned, points[-1].number)
    by = {point.number: point for point in points}
    ordered = [by.get(number) for number in range(1, count + 1)]
    known = Series("known", [point.known if point else None for point in ordered], "●", "accent")
    injected = Series("in the prompts", [point.injected if point else None for point in ordered], "○", "code-keyword")
    most = max(*(value for value in (*known.values, *injected.values) if value is not None), 4.0)
    solved = [
        Series(
            str(arm) + (" lanes" if arm is Arm.CLEAN else ""), [_value(p, arm, several) for p in ordered], *_ARMS[arm]
        )
        for arm in (Arm.SHUFFLED, Arm.CLEAN, Arm.MEMORY)
        if any(arm in point.arms for point in points)
    ]
    lanes = max(tally.lanes for point in points for tally in point.arms.values())
    side = cells >= SIDE
    room = (cells - GAP) // 2 if side else cells
    mean = ", mean of the runs" if several else ""
    left = chart([injected, known], count, room, tall, float(round(most + 0.49)), f"Observations{mean}")
    title, top = ("Solved lanes, %", 100.0) if several else ("Solved lanes", float(lanes))
    right = chart(solved, count, room, tall if several or side else max(min(lanes + 4, tall), 7), top, title)
    drawn = beside(left, right, room, GAP) if side else [*left, [], *right]
    if not several:
        return drawn
    so_far = Series(
        "runs solved so far",
        [numbers.solved_by(point.number) if point else None for point in ordered],
        "●",
        "good",
    )
    return [*drawn, [], *chart([so_far], count, room, max(tall - 2, 7), float(len(numbers.runs)), "Runs")]


def _value(point: Point | None, arm: Arm, several: bool) -> float | None:
    tally = point.tally(arm) if point else Tally()
    if not tally.judged or (not several and point is not None and not point.over):
        # A generation at work has no end yet: half a count would look like a fall.
        return None
    return 100.0 * tally.solved / tally.judged if several else float(tally.solved)


def _strategies(numbers: Convergence, cells: int) -> list[Line]:
    rows = [
        Row(
            name=shown_line(one.strategy, 60) + ("" if one.arm is Arm.MEMORY else f" ({one.arm})"),
            cells={number: Cell(tally.solved, tally.judged, tally.lanes) for number, tally in one.lanes.items()},
            share=one.tally.share,
            said=_said(one),
            ink="text" if one.arm is Arm.MEMORY else "faint",
        )
        for one in numbers.outcomes[:_MOST_ROWS]
    ]
    title = "Strategies, by generation"
    lines = grid(rows, [point.number for point in numbers.points], cells, title, names=max(cells // 3, 16))
    return [*lines, *_left_out(len(numbers.outcomes))]


def _said(one: Outcome) -> str:
    fewest = "" if one.fewest is None or one.tally.solved else f" · {words.count(one.fewest, 'failure')} at best"
    return f"{one.tally.solved}/{one.tally.judged}{fewest}"


def _failures(numbers: Convergence, cells: int) -> list[Line]:
    by = [point.number for point in numbers.points]
    most = max((count for one in numbers.failures for count in one.generations.values()), default=0)
    rows = [
        Ranked(
            one.kind,
            one.count,
            f"{one.count}  {spark([one.generations.get(number, 0) for number in by], most)}",
            "bad" if one.kind == "check fails" else "warn",
        )
        for one in numbers.failures[:_MOST_ROWS]
    ]
    if not rows:
        return []
    return ranked(rows, cells, "Why attempts failed, and when")


def _models(numbers: Convergence, cells: int) -> list[Line]:
    rows = [
        Ranked(
            shown_line(one.model, 40) or "–",
            one.spend.usd,
            f"{words.money(one.spend)}  {words.tokens(one.spend.usage.total)} tokens  "
            + (f"${one.per_solved:.2f} a solved lane" if one.per_solved is not None else "none solved"),
            "code-number",
        )
        for one in numbers.models[:_MOST_ROWS]
    ]
    return ranked(rows, cells, "Cost by model")


def _generations(numbers: Convergence) -> list[Line]:
    """One row a generation, live ones too."""
    several = len(numbers.runs) > 1
    runs = f"{'runs':>6}" if several else ""
    shuffled = any(Arm.SHUFFLED in point.arms for point in numbers.points)
    others = f"{'shuffled':>10}" if shuffled else ""
    head = f"{'generation':<12}{runs}{'solved':>8}{'clean':>8}{others}{'known':>8}{'in prompts':>12}{'turns':>8}"
    lines: list[Line] = [[(f"{head}{'tokens':>9}{'cost':>9}", "faint")]]
    for point in numbers.points:
        memory, clean = point.tally(Arm.MEMORY), point.tally(Arm.CLEAN)
        line: Line = [(f"{point.number:<12}", "strong"), (f"{point.runs:>6}" if several else "", "text")]
        line.append((f"{_of(memory):>8}", "good" if memory.solved else "text"))
        line.append((f"{_of(clean):>8}", "warn" if clean.solved else "faint"))
        line.append((f"{_of(point.tally(Arm.SHUFFLED)):>10}" if shuffled else "", "text"))
        known = "" if point.known is None else f"{point.known:.4g}"
        line.append((f"{known:>8}{f'{point.injected:.4g}':>12}{point.spend.turns:>8}", "text"))
        line.append((f"{words.tokens(point.spend.usage.total):>9}{words.money(point.spend):>9}", "text"))
        if not point.over:
            line.append(("   goes on", "accent"))
        lines.append(line)
    return lines


def _of(tally: Tally) -> str:
    return f"{tally.solved}/{tally.lanes}" if tally.lanes else "–"


def _runs(numbers: Convergence, cells: int) -> list[Line]:
    title = max(min(cells - 62, 60), 8)
    head = f"{'run':<8}{'title':<{title}}{'solved':>9}{'first in':>10}{'known':>7}{'cost':>9}  by generation"
    lines: list[Line] = [[(head, "faint")]]
    for one in numbers.runs[:_MOST_ROWS]:
        control = "" if one.memory is Memory.OWN else f"[{one.memory} memory] "
        name = shown_line(control + one.title, 200)
        name = name if len(name) < title else f"{name[: title - 2]}…"
        first = "–" if one.first_solved is None else str(one.first_solved)
        line: Line = [(f"{shown_line(one.run, 8):<8}", "strong"), (f"{name:<{title}}", "text")]
        line.append((f"{f'{one.tally.solved}/{one.tally.judged}':>9}", "good" if one.tally.solved else "text"))
        line.append((f"{first:>10}{one.known:>7}{words.money(one.spend):>9}  ", "text"))
        lines.append([*line, (spark([share or 0.0 for share in one.shares], 1.0), "good")])
    return [*lines, *_left_out(len(numbers.runs))]


def _left_out(count: int) -> Sequence[Line]:
    return [[(f"… and {count - _MOST_ROWS} more", "faint")]] if count > _MOST_ROWS else []
