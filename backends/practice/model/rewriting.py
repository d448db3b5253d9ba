"""The usual edits: hold a lock around statements, move them, put a line in. Each gives hunks, or None when the code
does not lend itself to it."""

import ast
from collections.abc import Iterable, Sequence

from backends.practice.model.hunks import Hunk
from backends.practice.model.source import Function, Module, writes

STEP = "    "


def span(module: Module, statements: Sequence[ast.stmt]) -> tuple[int, int, tuple[str, ...]]:
    """First line from 0, the line after the last, and the lines."""
    first, end = statements[0].lineno - 1, statements[-1].end_lineno or statements[-1].lineno
    return first, end, module.lines[first:end]


def shiftable(statements: Sequence[ast.stmt]) -> bool:
    """Whether they can be indented: a string over several lines would change."""
    return not any(
        isinstance(node, ast.Constant | ast.JoinedStr) and node.end_lineno != node.lineno
        for statement in statements
        for node in ast.walk(statement)
    )


def shifted(lines: Sequence[str], by: int) -> tuple[str, ...]:
    """The lines with that many spaces more or less."""
    if by >= 0:
        return tuple(" " * by + line if line.strip() else line for line in lines)
    return tuple(line[-by:] if line.strip() else line for line in lines)


def wrap(module: Module, statements: Sequence[ast.stmt], header: str) -> Hunk | None:
    """Put statements of one block under a header such as `async with …:`."""
    if not shiftable(statements):
        return None
    first, _, lines = span(module, statements)
    return Hunk(module.path, first, lines, (module.indent(statements[0]) + header, *shifted(lines, len(STEP))))


def replace(module: Module, statements: Sequence[ast.stmt], lines: Sequence[str]) -> Hunk:
    first, _, old = span(module, statements)
    return Hunk(module.path, first, old, tuple(lines))


def before(module: Module, statement: ast.stmt, *lines: str) -> Hunk:
    """Lines before a statement, indented like it."""
    indent = module.indent(statement)
    return Hunk(module.path, statement.lineno - 1, (), tuple(indent + line for line in lines))


def after(module: Module, statement: ast.stmt, *lines: str) -> Hunk:
    """Lines after a statement, indented like it."""
    indent = module.indent(statement)
    return Hunk(module.path, statement.end_lineno or statement.lineno, (), tuple(indent + line for line in lines))


def own_attribute(function: Function, name: str, value: str, beside: Iterable[str] = ()) -> frozenset[Hunk] | None:
    """Make an attribute in `__init__`, beside the first of some others; None when there is no `__init__`."""
    if function.initialiser is None:
        return None
    near = [each for each in function.initialiser.body if writes(each) & set(beside)]
    place = near[0] if near else function.initialiser.body[-1]
    return frozenset({after(function.module, place, f"self.{name} = {value}")})


def own_lock(function: Function, guarded: Iterable[str] = ()) -> tuple[str, frozenset[Hunk]] | None:
    """A lock of the object for this function, made beside what it guards: the header that holds it, and the rest."""
    name = f"_{function.name.strip('_')}_lock"
    made = own_attribute(function, name, "asyncio.Lock()", guarded)
    if made is None:
        return None
    return f"async with self.{name}:", made | imported(function.module, "asyncio")


def imported(module: Module, name: str) -> frozenset[Hunk]:
    """`import name`, unless it is there."""
    imports = [node for node in module.tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    if any(isinstance(node, ast.Import) and name in {alias.name for alias in node.names} for node in imports):
        return frozenset()
    body = module.tree.body
    documented = bool(body) and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
    if imports and isinstance(imports[0], ast.Import):
        return frozenset({before(module, imports[0], f"import {name}")})
    if imports:
        return frozenset({Hunk(module.path, imports[0].lineno - 1, (), (f"import {name}", ""))})
    first = (body[0].end_lineno or 0) if documented else 0
    return frozenset({Hunk(module.path, first, (), ("", f"import {name}") if documented else (f"import {name}", ""))})
