"""The next generation at the gate: its lanes, line by line, what it costs, and what a form's answers change. Pure."""

from collections.abc import Mapping

from app import raising
from app.gate import AtGate, Proposed
from store.domain import effect_words
from store.domain.board import Board
from store.domain.commands import PlanChange
from store.domain.limits import Limits, Spend, in_words
from store.domain.secrets import shown, shown_line
from widgets import words
from widgets.ink import Line
from widgets.picklist import Row

_NAME = 22


def rows(board: Board, gate: AtGate) -> list[Row]:
    """The lanes."""
    found: list[Row] = []
    for lane in gate.lanes:
        plan = lane.plan
        name = shown_line(plan.strategy.name, _NAME - 1)
        told = "clean" if plan.clean else f"{len(lane.told.ids)} obs"
        found.append(
            Row(
                str(plan.lane),
                ((f" {plan.lane:>2} ", "accent"), (f"{name:<{_NAME}}", "strong"),
                 (f"{told:<7}", "warn" if plan.clean else "text"),
                 (shown_line(plan.strategy.model or board.task.model, 30), "faint"),
                 (f"  {shown_line(plan.why, 160)}", "faint")),
            )
        )  # fmt: skip
    return found


def heading(gate: AtGate) -> Line:
    """What is shown."""
    if not gate.next:
        return [(" no generation follows", "strong")]
    how = "as you changed it" if gate.changed else "as the rules propose it"
    return [(f" generation {gate.next}", "strong"), (f"  {words.count(len(gate.lanes), 'lane')}, {how}", "faint")]


def cost(gate: AtGate) -> list[Line]:
    """What the run has cost, and what the next generation may."""
    look = gate.outlook
    line: Line = [("Cost so far ", "text"), (words.money(look.spent), "strong")]
    if look.expected is not None and look.low is not None and look.high is not None:
        line += [(", the next generation about ", "text"), (_usd(look.expected), "strong")]
        line.append((f" ({_usd(look.low)} to {_usd(look.high)}, by {words.count(look.based_on, 'lane')})", "faint"))
    else:
        line.append((", what the next generation costs can't be told yet", "text"))
    line.append((f", at most {_usd(look.most)}." if look.most is not None else ", without a limit.", "text"))
    return [line]


def _usd(usd: float) -> str:
    return words.money(Spend(usd=usd))


def lines(board: Board, gate: AtGate, number: str) -> list[Line]:
    """What it costs, whether memory helps, and one lane in full."""
    found = [*cost(gate), [(effect_words.overall(gate.effects), "faint")]]
    found += [
        [("⚠ ", "warn"), (f"Proposed for quarantine: {one.id}, {shown_line(one.quarantine, 300)}.", "text")]
        for one in gate.quarantine
    ]
    lane = next((each for each in gate.lanes if str(each.plan.lane) == number), None)
    return found if lane is None else [*found, [], *_full(board, lane)]


def _full(board: Board, lane: Proposed) -> list[Line]:
    plan = lane.plan
    strategy = plan.strategy
    limits = board.task.limits.with_own(strategy.limits)
    told = "nothing: it is the control" if plan.clean else (
        f"{words.count(len(lane.told.ids), 'observation')}, {lane.told.tokens:,} tokens"
    )  # fmt: skip
    found: list[Line] = [
        [(f"Lane {plan.lane}  ", "accent"), (shown_line(strategy.name, 200), "strong")],
        *([(line, "text")] for line in shown(strategy.approach).split("\n")),
    ]
    found += [[("First look at  ", "faint"), (shown_line(one), "text")] for one in strategy.triage]
    found += [[("Prefer  ", "faint"), (shown_line(one), "text")] for one in strategy.heuristics]
    found += [
        [("Model  ", "faint"), (shown_line(strategy.model or board.task.model, 100), "text")],
        [("At most  ", "faint"), (in_words(limits), "text")],
        [("Told  ", "faint"), (told, "text")],
    ]
    if plan.without:
        found.append([("Not told, by lot  ", "faint"), (", ".join(plan.without), "text")])
    return [*found, [("Why  ", "faint"), (shown_line(plan.why, 600), "text")]] if plan.why else found


def limit_now(field: str, limits: Limits) -> str:
    """What a lane has of a limit while none is typed, as one would type it."""
    match field:
        case "turns":
            return f"{limits.turns}" if limits.turns is not None else "no limit"
        case "tokens":
            return words.tokens(limits.tokens) if limits.tokens is not None else "no limit"
        case "usd":
            return f"{limits.usd:.2f}" if limits.usd is not None else "no limit"
    return f"{limits.seconds:g} s" if limits.seconds is not None else "no limit"


YES = ("yes", "y", "clean")


def asked(lane: int, answers: Mapping[str, str]) -> PlanChange | str:
    """What a form's answers change of a lane, 0 being one that is added; a sentence for what is not understood."""
    limits = raising.limits(answers)
    if isinstance(limits, str):
        return limits
    clean = answers.get("clean", "").lower()
    if clean not in ("", "no", *YES):
        return "Clean is yes or no"
    change = PlanChange(
        "change" if lane else "add", lane, answers.get("strategy", ""), answers.get("model", ""), limits,
        clean in YES,
    )  # fmt: skip
    if lane and change == PlanChange("change", lane):
        return "Nothing is changed yet: name a strategy, a model or a limit"
    if not lane and not change.strategy and not change.clean:
        return "Say how it is to work: the name of a strategy, or an approach in words"
    return change
