"""Suspects in loops that try again: what is sent twice, and how often."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from backends.practice.model import rewriting
from backends.practice.model.faults import Fault, Hypothesis
from backends.practice.model.hunks import Hunk
from backends.practice.model.source import Function, called, leaves, own, waits

_FRESH = {
    *("next", "uuid1", "uuid4", "token_hex", "token_urlsafe", "token_bytes", "time", "time_ns", "monotonic"),
    *("perf_counter", "getrandbits", "randint", "randrange", "random"),
}
_BOUND = 5
_PAUSE = 0.05


@dataclass(frozen=True)
class Retry:
    """A loop that tries an awaited call, and the handlers after which it tries again."""

    loop: ast.For | ast.While
    attempt: ast.Try
    again: tuple[ast.ExceptHandler, ...]


def retries(function: Function) -> Iterator[Retry]:
    for loop in own(function.node):
        if not isinstance(loop, ast.For | ast.While) or not _attempts(loop):
            continue
        for statement in loop.body:
            if isinstance(statement, ast.Try) and any(map(waits, statement.body)):
                again = tuple(h for h in statement.handlers if not _gives_up(h))
                if again:
                    yield Retry(loop, statement, again)


def _attempts(loop: ast.For | ast.While) -> bool:
    """Whether its rounds are attempts at one thing, rather than the items of a collection."""
    return isinstance(loop, ast.While) or (isinstance(loop.iter, ast.Call) and called(loop.iter) in {"range", "count"})


def suspects(function: Function) -> Iterator[Hypothesis]:
    """All suspects in the retry loops of a function."""
    for retry in retries(function):
        yield from _new_keys(function, retry)
        yield from _blind(function, retry)
        yield from _storms(function, retry)
        yield from _endless(function, retry)


def fresh(node: ast.AST) -> list[ast.Call]:
    """Calls in it that give another value each time."""
    return [each for each in own(node) if isinstance(each, ast.Call) and called(each) in _FRESH]


def _new_keys(function: Function, retry: Retry) -> Iterator[Hypothesis]:
    """An identity that is made anew for each attempt: the other side can't tell a repetition from a new request."""
    module, loop = function.module, retry.loop
    target = loop.target.id if isinstance(loop, ast.For) and isinstance(loop.target, ast.Name) else ""
    for statement in [*loop.body, *retry.attempt.body]:
        if not isinstance(statement, ast.Assign) or waits(statement):
            continue
        named = isinstance(statement.targets[0], ast.Name)
        uses = {node.id for node in own(statement.value) if isinstance(node, ast.Name)}
        calls = fresh(statement.value)
        if not calls or not named or target in uses or statement.lineno != statement.end_lineno:
            continue
        indent = module.indent(loop)
        if isinstance(statement.value, ast.Dict):
            continue
        line = module.lines[statement.lineno - 1].strip()
        gone = rewriting.replace(module, [statement], [])
        made = Hunk(module.path, loop.lineno - 1, (), (indent + line,))
        yield Hypothesis(
            Fault.NEW_KEY,
            *_place(function, retry),
            f"`{module.text(statement.targets[0])}` is made anew for each attempt: the other side takes a repetition "
            "for a new request",
            "make it once, before the first attempt",
            0.6,
            frozenset({gone, made}),
        )


def _blind(function: Function, retry: Retry) -> Iterator[Hypothesis]:
    """Tried again after a timeout, when the first request may have been carried out."""
    module = function.module
    for handler in retry.again:
        kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else []
        others = [kind for kind in kinds if module.text(kind).rpartition(".")[2] != "TimeoutError"]
        if not others or len(others) == len(kinds):
            continue
        names = [module.text(kind) for kind in others]
        caught = names[0] if len(names) == 1 else f"({', '.join(names)})"
        name = f" as {handler.name}" if handler.name else ""
        line = module.lines[handler.lineno - 1]
        indent = line[: len(line) - len(line.lstrip())]
        yield Hypothesis(
            Fault.BLIND_RETRY,
            *_place(function, retry),
            "a request that timed out may have been carried out, and is sent again",
            "don't repeat it after a timeout",
            0.5,
            frozenset({Hunk(module.path, handler.lineno - 1, (line,), (f"{indent}except {caught}{name}:",))}),
        )


def _storms(function: Function, retry: Retry) -> Iterator[Hypothesis]:
    """Tried again at once."""
    if any(isinstance(node, ast.Call) and called(node) == "sleep" for node in own(retry.loop)):
        return
    last = retry.again[-1].body[-1]
    hunks = frozenset({rewriting.after(function.module, last, f"await asyncio.sleep({_PAUSE})")})
    yield Hypothesis(
        Fault.STORM,
        *_place(function, retry),
        "it tries again at once, all callers at the same moment",
        "wait a little before the next attempt",
        0.4,
        hunks | rewriting.imported(function.module, "asyncio"),
    )


def _endless(function: Function, retry: Retry) -> Iterator[Hypothesis]:
    loop = retry.loop
    if not isinstance(loop, ast.While) or not isinstance(loop.test, ast.Constant):
        return
    module = function.module
    line = module.lines[loop.lineno - 1]
    yield Hypothesis(
        Fault.ENDLESS,
        *_place(function, retry),
        "it tries again without an end",
        "give up after a few attempts",
        0.4,
        frozenset({Hunk(module.path, loop.lineno - 1, (line,), (f"{module.indent(loop)}for _ in range({_BOUND}):",))}),
    )


def _gives_up(handler: ast.ExceptHandler) -> bool:
    return leaves(handler.body) and not isinstance(handler.body[-1], ast.Continue)


def _place(function: Function, retry: Retry) -> tuple[str, str, tuple[int, int]]:
    return function.module.path, function.where, (retry.loop.lineno, retry.loop.end_lineno or retry.loop.lineno)
