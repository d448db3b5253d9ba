"""Suspects among timeouts: a caller that gives up before the one it waits for does."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from backends.practice.model.faults import Fault, Hypothesis
from backends.practice.model.hunks import Hunk
from backends.practice.model.source import Function, Module, attribute, called, own

_LOWER, _RAISE = 0.5, 1.5
_TASKS = {"create_task", "ensure_future"}


@dataclass(frozen=True)
class Number:
    """Where a number of seconds is written down: a constant with a name, or the number itself."""

    module: Module
    node: ast.Constant
    name: str

    @property
    def seconds(self) -> float:
        assert isinstance(self.node.value, int | float)
        return float(self.node.value)

    def becoming(self, seconds: float) -> Hunk:
        line = self.module.lines[self.node.lineno - 1].encode()
        text = f"{seconds:.2f}".rstrip("0")
        changed = line[: self.node.col_offset] + (text + "0" if text.endswith(".") else text).encode()
        whole = (changed + line[self.node.end_col_offset or 0 :]).decode()
        return Hunk(self.module.path, self.node.lineno - 1, (line.decode(),), (whole,))


@dataclass(frozen=True)
class Wait:
    """A call with a timeout. `operation` is the text by which it names what it asks for, if any."""

    function: Function
    call: ast.Call
    number: Number
    operations: tuple[str, ...]


def suspects(modules: Sequence[Module]) -> Iterator[Hypothesis]:
    """Pairs of an outer and an inner timeout where the inner is not the smaller one, by the calls between services."""
    constants = _constants(modules)
    functions = [function for module in modules for function in module.functions]
    waits = [wait for function in functions for wait in _waits(function, constants)]
    handlers = _handlers(functions)
    found: dict[Number, tuple[Wait, Wait]] = {}
    for outer in waits:
        inside = _reached(handlers, functions, outer)
        for inner in waits:
            same = inner.number == outer.number
            if inner.function in inside and not same and inner.number.seconds >= outer.number.seconds:
                known = found.get(inner.number)
                if known is None or outer.number.seconds > known[0].number.seconds:
                    found[inner.number] = outer, inner
    for outer, inner in found.values():
        yield _hypothesis(inner.number, outer, inner, raising=False)
        yield _hypothesis(outer.number, outer, inner, raising=True)


def _hypothesis(number: Number, outer: Wait, inner: Wait, *, raising: bool) -> Hypothesis:
    seconds = inner.number.seconds * _RAISE if raising else outer.number.seconds * _LOWER
    at = outer if raising else inner
    return Hypothesis(
        Fault.BUDGET,
        at.function.module.path,
        at.function.where,
        (at.call.lineno, at.call.end_lineno or at.call.lineno),
        f"`{outer.function.where}` gives up after {outer.number.seconds:g} s, but `{inner.function.where}` works for "
        f"it and waits for {inner.number.seconds:g} s: the caller has gone and the work goes on",
        f"give the {'outer' if raising else 'inner'} call {'more' if raising else 'less'} time "
        f"(`{number.name}`: {seconds:g} s)"
        if number.name
        else f"wait for {seconds:g} s there",
        0.4 if raising else 0.6,
        frozenset({number.becoming(seconds)}),
    )


def _constants(modules: Sequence[Module]) -> Mapping[str, Number]:
    """Numbers by the name that is given to them at the top level; a name with two values counts for nothing."""
    found: dict[str, Number | None] = {}
    for module in modules:
        for node in module.tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and _seconds(node.value):
                assert isinstance(node.value, ast.Constant)
                name = node.targets[0].id
                found[name] = None if name in found else Number(module, node.value, name)
    return {name: number for name, number in found.items() if number is not None}


def _seconds(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool)


def _waits(function: Function, constants: Mapping[str, Number]) -> Iterator[Wait]:
    for node in own(function.node):
        if not isinstance(node, ast.Call):
            continue
        given = next((keyword.value for keyword in node.keywords if keyword.arg == "timeout"), None)
        if given is None and called(node) in {"wait_for", "timeout"} and node.args:
            given = node.args[-1]
        if _seconds(given):
            assert isinstance(given, ast.Constant)
            number: Number | None = Number(function.module, given, "")
        else:
            name = given.id if isinstance(given, ast.Name) else given.attr if isinstance(given, ast.Attribute) else ""
            number = constants.get(name)
        if number is not None:
            texts = (each.value for each in ast.walk(node) if isinstance(each, ast.Constant))
            yield Wait(function, node, number, tuple(text for text in texts if isinstance(text, str)))


def _handlers(functions: Sequence[Function]) -> Mapping[str, list[Function]]:
    """Functions by the text under which others ask for them: their name, a table, or a decorator."""
    found: dict[str, list[Function]] = {}
    methods = {(id(function.owner), function.name): function for function in functions if function.owner}
    for function in functions:
        if not function.awaits and function.name != "__init__":
            continue
        for decorator in function.node.decorator_list:
            for node in ast.walk(decorator):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.setdefault(node.value, []).append(function)
        for node in ast.walk(function.node):
            if isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    method = methods.get((id(function.owner), attribute(value) or ""))
                    if isinstance(key, ast.Constant) and isinstance(key.value, str) and method:
                        found.setdefault(key.value, []).append(method)
    return found


def _reached(handlers: Mapping[str, list[Function]], functions: Sequence[Function], wait: Wait) -> list[Function]:
    """The functions that run while it waits: what it asks for by a text, and what that calls on its own object.

    What is started as a task of its own doesn't hold its caller up.
    """
    todo = [function for text in wait.operations for function in handlers.get(text, ())]
    todo += _called(wait.call, wait.function, functions)
    reached: list[Function] = []
    while todo:
        function = todo.pop()
        if function in reached or function is wait.function:
            continue
        reached.append(function)
        todo += _called(function.node, function, functions)
    return reached


def _called(node: ast.AST, function: Function, functions: Sequence[Function]) -> list[Function]:
    """Other methods of the same object, and functions of the same file, that are called in it."""
    aside = {
        id(inner)
        for each in own(node)
        if isinstance(each, ast.Call) and called(each) in _TASKS
        for inner in ast.walk(each)
    }
    names = {
        (attribute(each.func) is not None, called(each))
        for each in own(node)
        if isinstance(each, ast.Call) and id(each) not in aside
    }
    return [
        other
        for other in functions
        if other.module is function.module
        and (other.owner is not None, other.name) in names
        and (other.owner is None or other.owner is function.owner)
    ]
