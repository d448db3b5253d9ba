"""Python source as the scripted model sees it: modules, functions, and what their statements read, write and await."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

AnyFunction = ast.FunctionDef | ast.AsyncFunctionDef

_MUTATORS = {
    *("add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "popleft", "remove"),
    *("setdefault", "update"),
}
_LOCKS = {"Lock", "Semaphore", "BoundedSemaphore", "Condition"}
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


@dataclass(frozen=True)
class Module:
    """One file that parses. Lines are without their ends."""

    path: str
    lines: tuple[str, ...]
    tree: ast.Module

    @cached_property
    def functions(self) -> tuple["Function", ...]:
        """Methods and top-level functions, in the order of the file."""
        found = []
        for node in self.tree.body:
            if isinstance(node, AnyFunction):
                found.append(Function(self, None, node))
            elif isinstance(node, ast.ClassDef):
                found += [Function(self, node, each) for each in node.body if isinstance(each, AnyFunction)]
        return tuple(found)

    @cached_property
    def program(self) -> bool:
        """Whether it is there to be started, rather than to serve."""
        return any(
            isinstance(node, ast.If) and "__name__" in {n.id for n in ast.walk(node.test) if isinstance(n, ast.Name)}
            for node in self.tree.body
        )

    def text(self, node: ast.AST) -> str:
        """The source of an expression, on one line."""
        return ast.unparse(node)

    def indent(self, node: ast.stmt) -> str:
        line = self.lines[node.lineno - 1]
        return line[: len(line) - len(line.lstrip())]


@dataclass(frozen=True, eq=False)
class Function:
    """A method, or a function at the top level."""

    module: Module
    owner: ast.ClassDef | None
    node: AnyFunction

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def where(self) -> str:
        """`Class.method`, or the function's name."""
        return f"{self.owner.name}.{self.name}" if self.owner else self.name

    @property
    def awaits(self) -> bool:
        return isinstance(self.node, ast.AsyncFunctionDef)

    @cached_property
    def initialiser(self) -> ast.FunctionDef | None:
        """The class's `__init__`."""
        body = self.owner.body if self.owner else []
        return next((n for n in body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)

    @cached_property
    def locks(self) -> frozenset[str]:
        """Attributes that `__init__` makes a lock or a semaphore of."""
        if self.initialiser is None:
            return frozenset()
        return frozenset(
            target.attr
            for node in ast.walk(self.initialiser)
            if isinstance(node, ast.Assign) and makes_lock(node.value)
            for target in node.targets
            if isinstance(target, ast.Attribute)
        )

    def guards(self, node: ast.AsyncWith | ast.With) -> bool:
        """Whether it holds one of the object's own locks."""
        return any(attribute(item.context_expr) in self.locks for item in node.items)


def parse(path: str, text: str) -> Module | None:
    """The file, or None when it is no Python that we can read."""
    try:
        return Module(path, tuple(text.split("\n")[:-1] if text.endswith("\n") else text.split("\n")), ast.parse(text))
    except (SyntaxError, ValueError, RecursionError):
        return None


def makes_lock(node: ast.AST) -> bool:
    """`asyncio.Lock()` and its kin."""
    return isinstance(node, ast.Call) and called(node) in _LOCKS


def called(node: ast.Call) -> str:
    """The last part of the name of what is called."""
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def own(node: ast.AST) -> Iterator[ast.AST]:
    """The node and what is under it, functions inside it left out."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, _SCOPES):
            yield from own(child)


def waits(node: ast.AST) -> bool:
    """Whether others may run while it runs."""
    return any(isinstance(each, ast.Await | ast.AsyncWith | ast.AsyncFor) for each in own(node))


def attribute(node: ast.AST) -> str | None:
    """`x` of `self.x`, also under an index or a call on it."""
    while isinstance(node, ast.Subscript):
        node = node.value
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
        return node.attr
    return None


def reads(node: ast.AST) -> set[str]:
    """Attributes of `self` whose value it looks at; methods that it calls are not meant."""
    methods = {id(each.func) for each in own(node) if isinstance(each, ast.Call)}
    return {
        each.attr
        for each in own(node)
        if isinstance(each, ast.Attribute)
        and isinstance(each.ctx, ast.Load)
        and id(each) not in methods
        and attribute(each) is not None
    }


def writes(node: ast.AST) -> set[str]:
    """Attributes of `self` that it changes, contents included."""
    found: set[str | None] = set()
    for each in own(node):
        if isinstance(each, ast.Assign | ast.Delete):
            for target in each.targets:
                parts = target.elts if isinstance(target, ast.Tuple | ast.List) else [target]
                found |= {attribute(part) for part in parts}
        elif isinstance(each, ast.AugAssign | ast.AnnAssign):
            found.add(attribute(each.target))
        elif isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute) and each.func.attr in _MUTATORS:
            found.add(attribute(each.func.value))
    return {name for name in found if name is not None}


def leaves(body: Sequence[ast.stmt]) -> bool:
    """Whether a block never goes on to what follows it."""
    return bool(body) and isinstance(body[-1], ast.Return | ast.Raise | ast.Continue | ast.Break)


def blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """Every list of statements in it, outermost first, functions inside it left out."""
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
            yield block
            for statement in block:
                if not isinstance(statement, _SCOPES):
                    yield from blocks(statement)
    for handler in getattr(node, "handlers", ()):
        yield from blocks(handler)


def common_block(function: Function, first: ast.stmt, last: ast.stmt) -> list[ast.stmt] | None:
    """The statements from the one that holds `first` to the one that holds `last`, in the innermost common block."""
    best = None
    for block in blocks(function.node):
        start = next((i for i, each in enumerate(block) if holds(each, first)), None)
        stop = next((i for i, each in enumerate(block) if holds(each, last)), None)
        if start is not None and stop is not None and start <= stop:
            best = block[start : stop + 1]
    return best


def holds(outer: ast.stmt, inner: ast.AST) -> bool:
    return any(each is inner for each in ast.walk(outer))
