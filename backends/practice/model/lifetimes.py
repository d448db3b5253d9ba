"""Suspects in what is begun and has to end: slots, tasks, cancellation, exceptions, and the order of effects."""

import ast
import itertools
from collections.abc import Iterator

from backends.practice.model import rewriting
from backends.practice.model.faults import Fault, Hypothesis
from backends.practice.model.hunks import Hunk
from backends.practice.model.source import Function, attribute, blocks, called, leaves, own, waits

_TASKS = {"create_task", "ensure_future"}
_PAIRS = {"acquire": "release"}
_TELL = {"publish", "emit", "announce", "notify", "broadcast", "send", "signal"}
_KEEP = {"save", "store", "persist", "commit", "append", "write", "put", "record", "insert", "flush"}


def leaks(function: Function) -> Iterator[Hypothesis]:
    """Something taken before a wait and given back after it, but not when the wait ends with an exception."""
    if not function.awaits:
        return
    for block in blocks(function.node):
        for i, taken in enumerate(block):
            rest = block[i + 1 :]
            back = [(n, each) for n, each in enumerate(rest) if _gives_back(taken, each)]
            inner = [each for later in rest for body in _inner(later) for each in body if _gives_back(taken, each)]
            if not back or not any(waits(each) for each in rest[: back[-1][0]]):
                continue
            if _in_finally(function, [*(each for _, each in back), *inner]):
                continue
            yield from _finally(function, taken, rest, [*inner, back[-1][1]])
            break


def _finally(function: Function, taken: ast.stmt, rest: list[ast.stmt], back: list[ast.stmt]) -> Iterator[Hypothesis]:
    module = function.module
    first, end, _ = rewriting.span(module, rest)
    if not rewriting.shiftable(rest):
        return
    dropped = {n for each in back for n in range(each.lineno - 1, each.end_lineno or each.lineno)}
    indent = module.indent(taken)
    given = [line.strip() for line in module.lines[back[-1].lineno - 1 : back[-1].end_lineno]]
    kept = rewriting.shifted([module.lines[n] for n in range(first, end) if n not in dropped], 4)
    lines = [f"{indent}try:", *kept, f"{indent}finally:", *(f"{indent}    {line}" for line in given)]
    name = attribute(back[-1].target) if isinstance(back[-1], ast.AugAssign) else None
    what = f"`self.{name}`" if name else "what is acquired"
    yield Hypothesis(
        Fault.LEAK,
        module.path,
        function.where,
        (taken.lineno, end),
        f"{what} is given back only when nothing goes wrong in between: an exception keeps it for ever",
        "give it back in a `finally`",
        0.6,
        frozenset({Hunk(module.path, first, module.lines[first:end], tuple(lines))}),
    )


def _gives_back(taken: ast.stmt, other: ast.stmt) -> bool:
    if isinstance(taken, ast.AugAssign) and isinstance(other, ast.AugAssign):
        opposite = {type(taken.op), type(other.op)} == {ast.Add, ast.Sub}
        same = ast.dump(taken.target) == ast.dump(other.target) and ast.dump(taken.value) == ast.dump(other.value)
        return opposite and same and attribute(taken.target) is not None
    mine, theirs = _method(taken), _method(other)
    return mine is not None and theirs is not None and mine[0] == theirs[0] and _PAIRS.get(mine[1]) == theirs[1]


def _method(statement: ast.stmt) -> tuple[str, str] | None:
    """Object and method of a statement that only calls it."""
    value = statement.value if isinstance(statement, ast.Expr) else None
    value = value.value if isinstance(value, ast.Await) else value
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        return ast.dump(value.func.value), value.func.attr
    return None


def _inner(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    yield from blocks(statement)


def _in_finally(function: Function, statements: list[ast.stmt]) -> bool:
    final = [each for node in own(function.node) if isinstance(node, ast.Try) for each in node.finalbody]
    return any(any(s is each for each in ast.walk(f)) for f in final for s in statements)


def forgotten(function: Function) -> Iterator[Hypothesis]:
    """A task that nobody waits for or keeps."""
    for block in blocks(function.node):
        for statement in block:
            call = statement.value if isinstance(statement, ast.Expr) else None
            if not isinstance(call, ast.Call) or called(call) not in _TASKS or not call.args:
                continue
            if statement.lineno != statement.end_lineno or not function.awaits or _careful(function, call.args[0]):
                continue
            module = function.module
            line = f"{module.indent(statement)}await {module.text(call.args[0])}"
            yield Hypothesis(
                Fault.FORGOTTEN,
                module.path,
                function.where,
                (statement.lineno, statement.lineno),
                "the task is started and forgotten: it may be lost, and nothing waits for its effect",
                "wait for it in place",
                0.4,
                frozenset({rewriting.replace(module, [statement], [line])}),
            )


def _careful(function: Function, coroutine: ast.expr) -> bool:
    """Whether what runs as the task looks after its own failures."""
    name = called(coroutine) if isinstance(coroutine, ast.Call) else ""
    return any(
        isinstance(each, ast.Try) and each.handlers and each is other.node.body[-1]
        for other in function.module.functions
        if other.name == name and other.owner is function.owner
        for each in other.node.body
    )


def swallowed(function: Function) -> Iterator[Hypothesis]:
    """Handlers that take everything, or a cancellation, and go on."""
    if not function.owner or not function.awaits:
        return
    module = function.module
    for node in own(function.node):
        if not isinstance(node, ast.ExceptHandler) or any(isinstance(each, ast.Raise) for each in own(node)):
            continue
        kind = module.text(node.type).rpartition(".")[2] if node.type else ""
        line = module.lines[node.lineno - 1]
        place = module.path, function.where, (node.lineno, node.end_lineno or node.lineno)
        if kind == "CancelledError" and not leaves(node.body):
            yield Hypothesis(
                Fault.CANCELLED,
                *place,
                "the cancellation is swallowed: whoever cancels it believes that it goes on",
                "raise it again",
                0.4,
                frozenset({rewriting.after(module, node.body[-1], "raise")}),
            )
        logged = any(isinstance(each, ast.Name) and each.id == node.name for each in own(node))
        if kind in {"Exception", "BaseException", ""} and not logged:
            indent = line[: len(line) - len(line.lstrip())]
            name = f" as {node.name}" if node.name else ""
            yield Hypothesis(
                Fault.SWALLOWED,
                *place,
                "every exception is taken for a failure that was expected",
                "take only what is expected: connections and timeouts",
                0.4,
                frozenset(
                    {Hunk(module.path, node.lineno - 1, (line,), (f"{indent}except (OSError, TimeoutError){name}:",))}
                ),
            )


def gathers(function: Function) -> Iterator[Hypothesis]:
    """`gather` that leaves the others running when one fails."""
    if not function.owner or not function.awaits:
        return
    used = {id(each) for n in own(function.node) if isinstance(n, ast.Assign | ast.Return) for each in own(n)}
    for node in own(function.node):
        if not isinstance(node, ast.Call) or called(node) != "gather" or len(node.args) < 2 or id(node) in used:
            continue
        if any(keyword.arg == "return_exceptions" for keyword in node.keywords) or node.lineno == node.end_lineno:
            continue
        last = node.args[-1]
        if isinstance(last, ast.Starred) or not function.module.lines[(last.end_lineno or 1) - 1].endswith(","):
            continue
        line = function.module.lines[last.lineno - 1]
        indent = line[: len(line) - len(line.lstrip())]
        yield Hypothesis(
            Fault.GATHER,
            function.module.path,
            function.where,
            (node.lineno, node.end_lineno or node.lineno),
            "when one of them fails the others go on, and nobody looks after them",
            "collect the exceptions too",
            0.3,
            frozenset({Hunk(function.module.path, last.end_lineno or 0, (), (f"{indent}return_exceptions=True,",))}),
        )


def disordered(function: Function) -> Iterator[Hypothesis]:
    """Others are told before it is kept: who asks in between, or after a failure, finds nothing."""
    if not function.awaits:
        return
    module = function.module
    for block in blocks(function.node):
        for told, kept in itertools.pairwise(block):
            first, second = _awaited(told), _awaited(kept)
            if first in _TELL and second in _KEEP:
                _, _, one = rewriting.span(module, [told])
                _, _, two = rewriting.span(module, [kept])
                yield Hypothesis(
                    Fault.ORDER,
                    module.path,
                    function.where,
                    (told.lineno, kept.end_lineno or kept.lineno),
                    "others are told before it is written down, and may ask, or the writing may fail, in between",
                    "write it down first, then tell",
                    0.6,
                    frozenset({rewriting.replace(module, [told, kept], [*two, *one])}),
                )


def _awaited(statement: ast.stmt) -> str:
    value = statement.value if isinstance(statement, ast.Expr) else None
    if isinstance(value, ast.Await) and isinstance(value.value, ast.Call):
        return called(value.value)
    return ""
