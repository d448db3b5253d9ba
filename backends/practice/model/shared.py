"""Suspects in shared state: what is looked at, awaited over, and then changed."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from backends.practice.model import rewriting
from backends.practice.model.faults import Fault, Hypothesis
from backends.practice.model.hunks import Hunk
from backends.practice.model.source import (
    Function,
    attribute,
    blocks,
    common_block,
    leaves,
    makes_lock,
    own,
    reads,
    waits,
    writes,
)


@dataclass
class Seen:
    """A look at an attribute, and whether anybody else may have run since. `local` is the name that keeps what was
    seen; `held` is whether a lock was held that has been let go of."""

    attribute: str
    at: ast.stmt
    local: str = ""
    stale: bool = False
    held: ast.AsyncWith | None = None


@dataclass
class Found:
    """A change that rests on a stale look."""

    seen: Seen
    change: ast.stmt


@dataclass
class Flow:
    """Follows the statements of a function in the order in which they run."""

    function: Function
    found: list[Found] = field(default_factory=list)

    def run(self) -> list[Found]:
        self.block(self.function.node.body, [])
        return self.found

    def block(self, body: Sequence[ast.stmt], seen: list[Seen]) -> list[Seen]:
        for statement in body:
            seen = self.statement(statement, seen)
        return seen

    def statement(self, statement: ast.stmt, seen: list[Seen]) -> list[Seen]:
        if isinstance(statement, ast.If | ast.While):
            seen = self.look(statement.test, statement, seen)
            inside = self.block(statement.body, _copies(seen))
            other = self.block(statement.orelse, _copies(seen))
            going_on = [
                each for each, body in ((inside, statement.body), (other, statement.orelse)) if not leaves(body)
            ]
            return _merged(going_on) if going_on else seen
        if isinstance(statement, ast.AsyncWith | ast.With) and self.function.guards(statement):
            begun = len(seen)
            inside = Flow(self.function).block(statement.body, [])
            for each in inside:
                each.held = statement if isinstance(statement, ast.AsyncWith) else None
            return [*_stale(seen[:begun]), *inside]
        if isinstance(statement, ast.For | ast.AsyncFor | ast.With | ast.AsyncWith | ast.Try):
            for block in (statement.body, *(h.body for h in getattr(statement, "handlers", ()))):
                seen = self.block(block, seen)
            for name in ("orelse", "finalbody"):
                seen = self.block(getattr(statement, name, None) or [], seen)
            return seen
        return self.plain(statement, seen)

    def look(self, test: ast.expr, statement: ast.stmt, seen: list[Seen]) -> list[Seen]:
        if waits(test):
            seen = _stale(seen)
        locals_ = {node.id for node in own(test) if isinstance(node, ast.Name)}
        for each in seen:
            if each.local in locals_:
                each.local = ""
        known = {each.attribute for each in seen}
        return [*seen, *(Seen(name, statement) for name in sorted(reads(test) - known))]

    def plain(self, statement: ast.stmt, seen: list[Seen]) -> list[Seen]:
        if waits(statement):
            seen = _stale(seen)
        changed = writes(statement)
        used = {node.id for node in own(statement) if isinstance(node, ast.Name)}
        for each in list(seen):
            if each.attribute not in changed:
                continue
            if each.stale and (not each.local or each.local in used):
                self.found.append(Found(each, statement))
            elif not each.stale:
                seen = [other for other in seen if other is not each]
        if isinstance(statement, ast.Assign) and not waits(statement) and isinstance(statement.targets[0], ast.Name):
            known = {each.attribute for each in seen if not each.local}
            looked = reads(statement.value) - known - changed
            seen = [*seen, *(Seen(name, statement, statement.targets[0].id) for name in sorted(looked))]
        return seen


def _copies(seen: Sequence[Seen]) -> list[Seen]:
    return [Seen(each.attribute, each.at, each.local, each.stale, each.held) for each in seen]


def _stale(seen: Sequence[Seen]) -> list[Seen]:
    return [Seen(each.attribute, each.at, each.local, True, each.held) for each in seen]


def _merged(branches: Sequence[list[Seen]]) -> list[Seen]:
    """What holds after either branch: a look that both still know is stale when one of them is."""
    merged: list[Seen] = []
    for branch in branches:
        for each in branch:
            same = next((o for o in merged if o.attribute == each.attribute and o.local == each.local), None)
            if same is None:
                merged.append(each)
            else:
                same.stale = same.stale or each.stale
    return merged


def races(function: Function) -> Iterator[Hypothesis]:
    """Check-then-act and lost updates over an await, with a lock around all of it, or only around the change."""
    if not function.awaits or not function.owner or any(_private_locks(function)):
        return
    found = Flow(function).run()
    loose = [each for each in found if each.seen.held is None]
    yield from _early_releases(function, [each for each in found if each.seen.held is not None])
    if not loose:
        return
    names = ", ".join(f"`self.{name}`" for name in sorted({each.seen.attribute for each in loose}))
    lost = all(each.seen.local for each in loose)
    fault = Fault.LOST_UPDATE if lost else Fault.RACE
    belief = (
        f"{names} is read, then the task waits, then it is written from what was read before"
        if lost
        else f"{names} is tested, then the task waits, then it is changed: whoever runs in between passes the same test"
    )
    first = min((each.seen.at for each in loose), key=lambda statement: statement.lineno)
    last = max((each.change for each in loose), key=lambda statement: statement.lineno)
    lock = rewriting.own_lock(function, [each.seen.attribute for each in loose])
    place = function.module.path, function.where, (first.lineno, last.end_lineno or last.lineno)
    if lock:
        header, made = lock
        whole = common_block(function, first, last)
        changes = common_block(function, loose[0].change, last)
        for region, repair, fitness in (
            (changes, "hold one lock around the change", 0.5),
            (whole, "hold one lock from the test to the change", 0.6),
        ):
            hunk = rewriting.wrap(function.module, region, header) if region else None
            if hunk and (region is whole or not any(map(waits, region or ()))):
                yield Hypothesis(fault, *place, belief, repair, fitness, made | {hunk})
    if lost:
        yield from _reread(function, loose, belief)


def _reread(function: Function, found: Sequence[Found], belief: str) -> Iterator[Hypothesis]:
    """Take the value again after the wait, in place of the one from before it."""
    module = function.module
    for each in found:
        at, change = each.seen.at, each.change
        if not isinstance(at, ast.Assign) or not isinstance(change, ast.Assign) or change.lineno != change.end_lineno:
            continue
        names = [n for n in own(change.value) if isinstance(n, ast.Name) and n.id == each.seen.local]
        if len(names) != 1 or at.lineno != at.end_lineno:
            continue
        line = module.lines[change.lineno - 1].encode()
        start, end = names[0].col_offset, names[0].end_col_offset or 0
        text = (line[:start] + module.text(at.value).encode() + line[end:]).decode()
        yield Hypothesis(
            Fault.LOST_UPDATE,
            module.path,
            function.where,
            (at.lineno, change.lineno),
            belief,
            "read it again after the wait, right where it is written",
            0.6,
            frozenset({rewriting.replace(module, [change], [text])}),
        )


def _early_releases(function: Function, found: Sequence[Found]) -> Iterator[Hypothesis]:
    """A test under a lock whose consequence is drawn after the lock: take that in too."""
    for each in found[-1:]:
        held = each.seen.held
        assert held is not None
        region = common_block(function, held, each.change)
        if not region or region[0] is not held or len(region) < 2 or not rewriting.shiftable(region[1:]):
            continue
        first, _, lines = rewriting.span(function.module, region[1:])
        hunk = rewriting.replace(function.module, region[1:], rewriting.shifted(lines, 4))
        yield Hypothesis(
            Fault.EARLY_RELEASE,
            function.module.path,
            function.where,
            (held.lineno, each.change.end_lineno or first),
            f"`self.{each.seen.attribute}` is tested under the lock and changed after it has been let go of",
            "hold the lock to the end of the change",
            0.6,
            frozenset({hunk}),
        )


def private_locks(function: Function) -> Iterator[Hypothesis]:
    """A lock that is made for each call guards nothing: make it once."""
    lock = rewriting.own_lock(function) if function.awaits else None
    if lock is None:
        return
    header, own_hunks = lock
    for node, maker in _private_locks(function):
        module = function.module
        hunks = {Hunk(module.path, node.lineno - 1, (module.lines[node.lineno - 1],), (module.indent(node) + header,))}
        if maker is not None:
            hunks.add(rewriting.replace(module, [maker], []))
        yield Hypothesis(
            Fault.PRIVATE_LOCK,
            module.path,
            function.where,
            (node.lineno, node.end_lineno or node.lineno),
            "each call makes a lock of its own, so it keeps nobody out",
            "make the lock once, for the object",
            0.6,
            own_hunks | hunks,
        )


def _private_locks(function: Function) -> Iterator[tuple[ast.AsyncWith, ast.Assign | None]]:
    """Where a lock is held that the function has made itself, and the statement that makes it."""
    made = {
        node.targets[0].id: node
        for node in own(function.node)
        if isinstance(node, ast.Assign) and makes_lock(node.value) and isinstance(node.targets[0], ast.Name)
    }
    for node in own(function.node):
        if isinstance(node, ast.AsyncWith) and len(node.items) == 1:
            held = node.items[0].context_expr
            maker = made.get(held.id) if isinstance(held, ast.Name) else None
            if makes_lock(held) or maker is not None:
                yield node, maker


def counters(function: Function) -> Iterator[Hypothesis]:
    """Counters that are changed without a lock while others look at them."""
    if not function.awaits or function.owner is None or not waits_inside(function):
        return
    others = {
        name
        for other in function.module.functions
        if other.owner is function.owner and other.node is not function.node and other.node is not function.initialiser
        for name in reads(other.node)
    }
    both_ways = [
        {attribute(n.target) for n in own(function.node) if isinstance(n, ast.AugAssign) and isinstance(n.op, kind)}
        for kind in (ast.Add, ast.Sub)
    ]
    for block in blocks(function.node):
        for statement in block:
            if not isinstance(statement, ast.AugAssign) or not isinstance(statement.value, ast.Constant):
                continue
            name = attribute(statement.target) if isinstance(statement.target, ast.Attribute) else None
            if name is None or name not in others or name in both_ways[0] & both_ways[1]:
                continue
            lock = rewriting.own_lock(function, [name])
            hunk = rewriting.wrap(function.module, [statement], lock[0]) if lock else None
            if lock and hunk and not _guarded(function, statement):
                yield Hypothesis(
                    Fault.COUNTER,
                    function.module.path,
                    function.where,
                    (statement.lineno, statement.lineno),
                    f"`self.{name}` is counted without a lock",
                    "count under a lock",
                    0.4,
                    lock[1] | {hunk},
                )


def wide_locks(function: Function) -> Iterator[Hypothesis]:
    """A lock held while the task waits for something slow: let go of it before."""
    for node in own(function.node):
        if not isinstance(node, ast.AsyncWith) or not function.guards(node):
            continue
        at = next((i for i, each in enumerate(node.body) if waits(each)), None)
        if not at or not rewriting.shiftable(node.body[at:]):
            continue
        _, _, lines = rewriting.span(function.module, node.body[at:])
        yield Hypothesis(
            Fault.WIDE_LOCK,
            function.module.path,
            function.where,
            (node.lineno, node.end_lineno or node.lineno),
            "the lock is held while the task waits, so everybody else waits too and may run out of time",
            "let go of the lock before the slow step",
            0.4,
            frozenset({rewriting.replace(function.module, node.body[at:], rewriting.shifted(lines, -4))}),
        )


def waits_inside(function: Function) -> bool:
    return any(waits(statement) for statement in function.node.body)


def _guarded(function: Function, statement: ast.stmt) -> bool:
    return any(
        isinstance(node, ast.AsyncWith) and function.guards(node) and any(each is statement for each in ast.walk(node))
        for node in own(function.node)
    )
