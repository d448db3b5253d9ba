"""How runs converge, as it is drawn: what stands where at which size. Knows the numbers, no screen and no record."""

from collections.abc import Sequence
from math import ceil

from app import actions
from store.domain.convergence import Arm, Convergence, Outcome, Point, Tally
from store.domain.effect import Comparison, Verdict
from store.domain.effect_words import between, points
from store.domain.secrets import shown_line
from store.domain.task import Memory
from widgets import words
from widgets.chart import Series, chart, spark
from widgets.ink import Line, cut
from widgets.plots import Cell, Ranked, Row, beside, grid, ranked

SIDE = 100
"""Cells from which charts stand beside each other."""
WIDE = 150
"""Cells from which three of them do."""
ROOMY = 70
"""Cells from which a block says more beside its bars."""
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
    columns = 1 if cells < SIDE else 2
    room = (cells - GAP * (columns - 1)) // columns
    strategies = _strategies(numbers, room)
    failures, models = _failures(numbers, room), _models(numbers, room)
    rest = [*failures, [], *models] if failures else models
    below = [[], *_rows([strategies, rest], room, columns), [], *_generations(numbers)]
    head = [*headline(numbers), []]
    # Beside each other the charts take the room that the rest leaves; below each other they have the first page.
    tall = max((height - len(head)) // 2, 8) if columns == 1 else max(height - len(head) - len(below), 11)
    if len(numbers.runs) == 1:
        return [*head, *_rows(_charts(numbers, room, min(tall, 24), columns), room, columns), *below]
    columns = 3 if cells >= WIDE else columns
    room = (cells - GAP * (columns - 1)) // columns
    charts = _charts(numbers, room, min(tall, 14), columns)
    if columns != 2:
        return [*head, *_rows(charts, room, columns), *below, [], *_runs(numbers, cells)]
    return [*head, *_rows([*charts, _runs(numbers, room)], room, columns), *below]


def _rows(blocks: Sequence[list[Line]], cells: int, columns: int) -> list[Line]:
    """Blocks in so many columns, row after row, with a blank line between."""
    lines: list[Line] = []
    for first in range(0, len(blocks), columns):
        row, *others = ([cut(line, cells) for line in block] for block in blocks[first : first + columns])
        for at, block in enumerate(others, 1):
            row = beside(row, block, at * cells + (at - 1) * GAP, GAP)
        lines += [*([[]] if lines else []), *row]
    return lines


def nothing(numbers: Convergence) -> list[Line]:
    """What is said, and what can be done, where there is no generation yet."""
    if not numbers.runs:
        return [
            [("No run to show.", "strong")],
            [],
            [("This screen draws how a run converges: observations and solved subagents, by generation.", "text")],
            [],
            [("  multitrack demo", "accent"), ("   makes one in a minute: no key, no network", "text")],
            [(f"  {actions.key('runs'):<18}", "key"), ("lists the runs there are", "text")],
        ]
    return [
        [("No generation has been designed yet.", "strong")],
        [],
        [("The lines begin with the first generation, and are drawn as its subagents get their verdicts.", "text")],
        [],
        [(f"  {actions.key('grid')}", "key"), ("  the grid shows how far it is", "text")],
        [(f"  {actions.key('scope')}", "key"), ("  adds the other runs of the same task, then all runs", "text")],
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
        lines.append([(f"From generation {numbers.since} on: ", "faint"), *compared])
        if numbers.memory.solved is not None:
            lines.append(_difference(numbers.memory))
    elif any(arm is not Arm.CLEAN for point in numbers.points for arm in point.arms):
        lines.append(
            [(f"From generation {numbers.since} on, lanes with memory are compared with clean ones.", "faint")]
        )
    return lines


def _difference(found: Comparison) -> Line:
    """Memory less clean, with how little a few lanes prove."""
    assert found.solved is not None
    gap = f"{points(found.solved.estimate)} points with memory"
    said = {Verdict.HELPS: "memory does better", Verdict.HARMS: "memory does worse"}.get(
        found.verdict, "too few to say"
    )
    ink = {Verdict.HELPS: "good", Verdict.HARMS: "bad"}.get(found.verdict, "warn")
    return [(gap, "strong"), (f" (95 % interval {between(found.solved.interval)}): ", "text"), (said, ink)]


def _over(numbers: Convergence) -> bool:
    return len(numbers.points) >= numbers.planned and all(point.over for point in numbers.points)


def _charts(numbers: Convergence, cells: int, tall: int, columns: int) -> list[list[Line]]:
    """The two lines, on axes of their own: counts of two kinds share no scale. Over several runs shares, for not every
    run comes to the last generation, and the runs that are solved so far."""
    several, points = len(numbers.runs) > 1, numbers.points
    count = max(numbers.planned, points[-1].number)
    by = {point.number: point for point in points}
    ordered = [by.get(number) for number in range(1, count + 1)]
    known = Series("known", [point.known if point else None for point in ordered], "●", "accent")
    injected = Series("in the prompts", [point.injected if point else None for point in ordered], "○", "code-keyword")
    most = max(*(value for value in (*known.values, *injected.values) if value is not None), 4.0)
    solved = [
        Series(f"{arm}{' lanes' if arm is Arm.CLEAN else ''}", [_value(p, arm, several) for p in ordered], *_ARMS[arm])
        for arm in (Arm.SHUFFLED, Arm.CLEAN, Arm.MEMORY)
        if any(arm in point.arms for point in points)
    ]
    lanes = float(max(tally.lanes for point in points for tally in point.arms.values()))
    title = "Observations, mean" if several else "Observations"
    charts = [chart([injected, known], count, cells, tall, float(ceil(most)), title)]
    if not several:
        # Alone in its row it need not be higher than there are lanes.
        height = tall if columns > 1 else max(min(int(lanes) + 4, tall), 7)
        return [*charts, chart(solved, count, cells, height, lanes, "Solved lanes")]
    so_far = [numbers.solved_by(point.number) if point else None for point in ordered]
    runs = Series("solved so far", so_far, "●", "good")
    return [
        *charts,
        chart(solved, count, cells, tall, 100.0, "Solved lanes, %"),
        chart([runs], count, cells, tall, float(len(numbers.runs)), "Runs"),
    ]


def _value(point: Point | None, arm: Arm, several: bool) -> float | None:
    tally = point.tally(arm) if point else Tally()
    if not tally.judged or (not several and point is not None and not point.over):
        # A generation at work has no end yet: half a count would look like a fall.
        return None
    return 100.0 * tally.solved / tally.judged if several else float(tally.solved)


def _strategies(numbers: Convergence, cells: int) -> list[Line]:
    rows = [
        Row(
            name=("" if one.arm is Arm.MEMORY else f"{one.arm}: ") + shown_line(one.strategy, 60),
            cells={number: Cell(tally.solved, tally.judged, tally.lanes) for number, tally in one.lanes.items()},
            share=one.tally.share,
            said=_said(one, brief=cells < ROOMY),
            ink="text" if one.arm is Arm.MEMORY else "faint",
        )
        for one in numbers.outcomes[:_MOST_ROWS]
    ]
    title = "Strategies, by generation"
    lines = grid(rows, [point.number for point in numbers.points], cells, title, names=max(cells // 3, 16))
    return [*lines, *_left_out(len(numbers.outcomes))]


def _said(one: Outcome, *, brief: bool) -> str:
    none = brief or one.fewest is None or one.tally.solved
    fewest = "" if none or one.fewest is None else f" · {words.count(one.fewest, 'failure')} at best"
    return f"{one.tally.solved}/{one.tally.judged}{fewest}"


def _failures(numbers: Convergence, cells: int) -> list[Line]:
    by = [point.number for point in numbers.points]
    most = max((count for one in numbers.failures for count in one.generations.values()), default=0)
    digits = len(str(max((one.count for one in numbers.failures), default=0)))
    rows = [
        Ranked(
            one.kind,
            one.count,
            f"{one.count:>{digits}}  {spark([one.generations.get(number, 0) for number in by], most)}",
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
            words.money(one.spend)
            + ("  " if cells < ROOMY else f"  {words.tokens(one.spend.tokens)} tokens  ")
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
        line.append((f"{words.tokens(point.spend.tokens):>9}{words.money(point.spend):>9}", "text"))
        if not point.over:
            line.append(("   goes on", "accent"))
        lines.append(line)
    return lines


def _of(tally: Tally) -> str:
    return f"{tally.solved}/{tally.lanes}" if tally.lanes else "–"


def _runs(numbers: Convergence, cells: int) -> list[Line]:
    roomy = cells >= ROOMY
    taken = 8 + 9 + 10 + (7 + 9 if roomy else 0) + 2 + max(len(numbers.points), 13)
    title = max(min(cells - taken, 60), 8)
    more = f"{'known':>7}{'cost':>9}" if roomy else ""
    head = f"{'run':<8}{'title':<{title}}{'solved':>9}{'first in':>10}{more}  by generation"
    lines: list[Line] = [[(head, "faint")]]
    for one in numbers.runs[:_MOST_ROWS]:
        control = "" if one.memory is Memory.OWN else f"[{one.memory} memory] "
        name = shown_line(control + one.title, 200)
        name = name if len(name) < title else f"{name[: title - 2]}…"
        first = "–" if one.first_solved is None else str(one.first_solved)
        more = f"{one.known:>7}{words.money(one.spend):>9}" if roomy else ""
        line: Line = [(f"{shown_line(one.run, 8):<8}", "strong"), (f"{name:<{title}}", "text")]
        line.append((f"{f'{one.tally.solved}/{one.tally.judged}':>9}", "good" if one.tally.solved else "text"))
        line.append((f"{first:>10}{more}  ", "text"))
        lines.append([*line, (spark([share or 0.0 for share in one.shares], 1.0), "good")])
    return [*lines, *_left_out(len(numbers.runs))]


def _left_out(count: int) -> Sequence[Line]:
    return [[(f"… and {count - _MOST_ROWS} more", "faint")]] if count > _MOST_ROWS else []
