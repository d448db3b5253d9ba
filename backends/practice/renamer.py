"""The same practice task under other names: every identifier, file, comment and message replaced, functions reordered.

What the programs do stays what it was. It is how tests show that a debugger knows nothing of the task itself. Names
that belong to Python or to its library stay, and so do single letters.
"""

import ast
import asyncio
import builtins
import collections
import contextlib
import hashlib
import inspect
import io
import itertools
import json
import keyword
import logging
import os
import re
import sys
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from backends.practice.repository import Source, Tree

_ONSETS = (
    "b",
    "d",
    "f",
    "g",
    "h",
    "k",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "t",
    "v",
    "z",
    "br",
    "dr",
    "kl",
    "pl",
    "tr",
    "st",
)
_VOWELS = ("a", "e", "i", "o", "u")
_WORD = re.compile(r"(?<![\\%A-Za-z0-9_])[A-Za-z_][A-Za-z0-9_]+")
_LIBRARY = (
    *(asyncio, asyncio.AbstractEventLoop, asyncio.Future, asyncio.Task, asyncio.TimerHandle, asyncio.Lock),
    *(asyncio.StreamReader, asyncio.StreamWriter, asyncio.Server, asyncio.subprocess, asyncio.subprocess.Process),
    *(builtins, dict, list, set, frozenset, str, bytes, int, float, tuple, BaseException, OSError),
    *(collections, collections.Counter, collections.deque, itertools, json, logging, logging.Logger, os, sys, Path),
)
_CLOSING = "broken"
"""The word of the check's closing line, by which its count is known."""


def _parameters() -> Iterator[str]:
    """Names by which arguments are passed to the library."""
    for owner in _LIBRARY:
        for each in (owner, *(getattr(owner, name) for name in dir(owner))):
            with contextlib.suppress(TypeError, ValueError):
                yield from inspect.signature(each).parameters


_KEPT = frozenset(
    {"self", "cls", _CLOSING, *_parameters(), *dir(ast), *keyword.kwlist, *sys.stdlib_module_names}
    | {name for owner in _LIBRARY for name in dir(owner)}
)


class Names:
    """New names by old ones; always the same for the same seed, never two alike."""

    def __init__(self, seed: int, trees: Sequence[Tree]) -> None:
        self._seed = seed
        self._made: dict[str, str] = {}
        self._taken = {word for tree in trees for text in tree.values() for word in _WORD.findall(text)} | _KEPT
        self.ours = frozenset(name for tree in trees for name in _defined(tree) if _free(name))

    def new(self, word: str) -> str:
        """The new name for a word, in the same case."""
        plain = word.strip("_").lower()
        if plain not in self._made:
            for turn in itertools.count():
                made = self._word(f"{plain}/{turn}")
                if made not in self._taken:
                    self._taken.add(made)
                    self._made[plain] = made
                    break
        made = self._made[plain]
        core = (
            made.upper() if word.strip("_").isupper() else made.capitalize() if word.strip("_")[:1].isupper() else made
        )
        return word[: len(word) - len(word.lstrip("_"))] + core

    def names(self, text: str) -> str:
        """A text with our identifiers in it replaced."""
        return _WORD.sub(lambda match: self.new(match[0]) if match[0] in self.ours else match[0], text)

    def prose(self, text: str) -> str:
        """A text for people with every word replaced."""
        return _WORD.sub(lambda match: match[0] if match[0] in _KEPT else self.new(match[0]), text)

    def path(self, path: str) -> str:
        return "/".join(self.names(part) for part in path.split("/"))

    def place(self, name: str) -> str:
        """Where a function stands among the others."""
        return hashlib.blake2b(f"{self._seed}/order/{name}".encode()).hexdigest()

    def _word(self, what: str) -> str:
        digest = hashlib.blake2b(f"{self._seed}/{what}".encode(), digest_size=12).digest()
        parts = (
            _ONSETS[a % len(_ONSETS)] + _VOWELS[b % len(_VOWELS)]
            for a, b in zip(digest[::2], digest[1::2], strict=True)
        )
        return "".join(itertools.islice(parts, 2 + digest[-1] % 2))


def renamed(source: Source, seed: int) -> Source:
    """The task with other names."""
    names = Names(seed, [commit.tree for commit in source.commits])
    commits = tuple(
        replace(commit, message=names.prose(commit.message), tree=_tree(commit.tree, names))
        for commit in source.commits
    )
    check = " ".join(names.path(part) if part.endswith(".py") else part for part in source.check.split(" "))
    goal = source.goal.replace(source.check, check)
    return Source(goal, check, tuple(map(names.path, source.protected)), commits)


def _free(name: str) -> bool:
    """Whether a name of ours may be replaced."""
    return len(name.strip("_")) > 1 and not (name.startswith("__") and name.endswith("__")) and name not in _KEPT


def _defined(tree: Tree) -> Iterator[str]:
    """Every name that the files define, and the names of files and folders."""
    for path, text in tree.items():
        if not path.endswith(".py"):
            continue
        yield from path.removesuffix(".py").split("/")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield node.name
            elif isinstance(node, ast.arg):
                yield node.arg
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                yield node.attr
            elif isinstance(node, ast.Dict):
                keys = (key.value for key in node.keys if isinstance(key, ast.Constant))
                yield from (key for key in keys if isinstance(key, str) and key.isidentifier())


def _tree(tree: Tree, names: Names) -> Tree:
    made = {}
    for path, text in tree.items():
        if path.endswith(".py"):
            made[names.path(path)] = _python(_reordered(text, names), names)
        elif path.startswith("."):
            made[path] = text
        else:
            made[path] = names.prose(text)
    return made


def _reordered(text: str, names: Names) -> str:
    """The file with its top-level functions, and the methods of its classes, in another order."""
    tree = ast.parse(text)
    lines = text.split("\n")
    for node in reversed(tree.body):
        if isinstance(node, ast.ClassDef):
            _shuffle(lines, node.body, names, gap=1)
    lines = _again(lines)
    _shuffle(lines, ast.parse("\n".join(lines)).body, names, gap=2)
    return "\n".join(lines)


def _again(lines: Sequence[str]) -> list[str]:
    return "\n".join(lines).split("\n")


def _shuffle(lines: list[str], body: Sequence[ast.stmt], names: Names, *, gap: int) -> None:
    """Put the longest run of functions in another order."""
    runs = [list(run) for there, run in itertools.groupby(body, key=_movable) if there]
    run = max(runs, key=len, default=[])
    if len(run) < 2:
        return
    spans = [(_start(node), node.end_lineno or node.lineno, node) for node in run]
    pieces = {names.place(node.name): lines[first:end] for first, end, node in spans if hasattr(node, "name")}
    shuffled = [line for key in sorted(pieces) for line in (*pieces[key], *[""] * gap)]
    lines[spans[0][0] : spans[-1][1]] = shuffled[:-gap]


def _movable(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def _start(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)]) - 1


def _python(text: str, names: Names) -> str:
    """The file with its names, texts and comments replaced, layout kept."""
    documents = _docstrings(text)
    lines = text.split("\n")
    for token in reversed(list(tokenize.generate_tokens(io.StringIO(text).readline))):
        if token.type == tokenize.NAME and token.string in names.ours:
            new = names.new(token.string)
        elif token.type == tokenize.COMMENT:
            new = names.prose(token.string)
        elif token.type == tokenize.STRING:
            new = names.prose(token.string) if token.start[0] in documents else names.names(token.string)
        else:
            continue
        (first, start), (last, end) = token.start, token.end
        lines[first - 1 : last] = (lines[first - 1][:start] + new + lines[last - 1][end:]).split("\n")
    return "\n".join(lines)


def _docstrings(text: str) -> Mapping[int, bool]:
    """The lines where a docstring begins."""
    return {
        node.body[0].lineno: True
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and ast.get_docstring(node, clean=False) is not None
    }
