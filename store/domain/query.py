"""What the operator looks for, read from one line: words, "phrases", beginnings*, and filters such as `tool:bash`.

Any line can be read. What is wrong in it is said in sentences (`Query.problems`), and what is right in it stands.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from store.domain.marking import tokens

HELP = 'words, "a phrase", begin*   error:  tool:bash  agent:2.3  gen:2  cost:>0.01  model:  run:'
"""The language in a line."""

LEAST = 3
"""Letters of a word that is still being typed from which on it is taken for the beginning of one."""

FILTERS = {
    "error": "error: finds what went wrong; a word right after it must be in it, such as error:timeout",
    "tool": "tool: names a tool, such as tool:bash",
    "agent": "agent: names a subagent or a strategy, such as agent:2.3",
    "gen": "gen: takes the number of a generation, such as gen:2, gen:>1 or gen:2-4",
    "cost": "cost: takes US dollars of a call, such as cost:>0.01 or cost:0.01-0.05",
    "model": "model: names a model or a part of its name, such as model:haiku",
    "run": "run: names a run or the beginning of its name",
}
"""Every filter, with how it is used."""

_MEANT = {
    "errors": "error", "failed": "error", "failure": "error", "tools": "tool", "agents": "agent", "subagent": "agent",
    "subagents": "agent", "lane": "agent", "strategy": "agent", "gens": "gen", "generation": "gen",
    "generations": "gen", "costs": "cost", "price": "cost", "usd": "cost", "models": "model", "runs": "run",
}  # fmt: skip
_PIECE = re.compile(r'(?:(?P<field>[^\W\d_]+):)?(?:"(?P<quoted>[^"]*)(?P<close>"?)(?P<star>\*?)|(?P<bare>\S*))')
_NUMBER = re.compile(r"(?P<sign>[<>]=?|=)?\$?(?P<low>\d+(?:\.\d*)?|\.\d+)(?:-\$?(?P<high>\d+(?:\.\d*)?|\.\d+))?")


@dataclass(frozen=True)
class Term:
    """Words that must follow each other; one that `begins` may go on behind its last letter."""

    text: str
    begins: bool = False


@dataclass(frozen=True)
class Bounds:
    """Numbers from `low` to `high`, both included unless `open`."""

    low: float = 0.0
    high: float = float("inf")
    open: bool = False

    def have(self, number: float) -> bool:
        """Whether a number lies within."""
        return self.low < number < self.high if self.open else self.low <= number <= self.high


@dataclass(frozen=True)
class Query:
    """A place is found that has all of the terms, and is right for every filter. Of several names of one filter any
    will do, of several bounds all must hold. Names are in lower case; `problems` are sentences without a full stop."""

    terms: tuple[Term, ...] = ()
    errors: bool = False
    tools: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    generations: tuple[Bounds, ...] = ()
    costs: tuple[Bounds, ...] = ()
    models: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """It says nothing to look for."""
        return replace(self, problems=()) == Query()


def parse(text: str, *, typing: bool = False) -> Query:
    """Read a query. A phrase without its second quote goes to the end. While it is `typing`, the last word may be the
    beginning of one."""
    query = Query()
    for match in _PIECE.finditer(text):
        if match[0]:
            query = _add(query, match, last=typing and match.end() == len(text))
    return query


def _add(query: Query, match: re.Match[str], *, last: bool) -> Query:
    field = (match["field"] or "").lower()
    quoted = match["quoted"] is not None
    value = match["quoted"] if quoted else match["bare"]
    if field and field not in FILTERS:
        if (meant := _MEANT.get(field)) and value:
            return _wrong(query, f"there is no {field}: but {meant}:, and in quotes it is looked for as words")
        value = match[0]
    if field == "error":
        query = replace(query, errors=True)
        if not value:
            return query
    elif field in FILTERS:
        return _READERS[field](query, value.strip())
    begins = match["star"] == "*" if quoted and not (field and field not in FILTERS) else value.endswith("*")
    words = tokens(value)
    if not words:
        return _wrong(query, f"“{value}” has no letter and no digit to look for")
    if last and not begins:
        begins = not match["close"] and len(words[-1]) >= LEAST and value[-1:].isalnum()
    return replace(query, terms=(*query.terms, Term(value.rstrip("*"), begins)))


def _wrong(query: Query, problem: str) -> Query:
    return replace(query, problems=(*query.problems, problem))


def _name(field: str, member: str) -> Callable[[Query, str], Query]:
    def read(query: Query, value: str) -> Query:
        if not value.strip("*"):
            return _wrong(query, FILTERS[field])
        more: Any = {member: (*getattr(query, member), value.lower())}
        return replace(query, **more)

    return read


def _number(field: str, member: str, *, whole: bool) -> Callable[[Query, str], Query]:
    def read(query: Query, value: str) -> Query:
        bounds = _bounds(value, whole=whole)
        if bounds is None:
            return _wrong(query, FILTERS[field] + (f"; “{value}” is none" if value else ""))
        more: Any = {member: (*getattr(query, member), bounds)}
        return replace(query, **more)

    return read


_READERS = {
    "tool": _name("tool", "tools"),
    "agent": _name("agent", "agents"),
    "model": _name("model", "models"),
    "run": _name("run", "runs"),
    "gen": _number("gen", "generations", whole=True),
    "cost": _number("cost", "costs", whole=False),
}


def _bounds(text: str, *, whole: bool) -> Bounds | None:
    """What `2`, `>2`, `<=2` or `2-4` says; None when it says nothing."""
    match = _NUMBER.fullmatch(text)
    if match is None or (whole and not match["low"].isdecimal()) or (match["sign"] and match["high"]):
        return None
    low = float(match["low"])
    if match["high"]:
        high = float(match["high"])
        return Bounds(low, high) if low <= high and (not whole or match["high"].isdecimal()) else None
    match match["sign"]:
        case ">":
            return Bounds(low, open=True)
        case ">=":
            return Bounds(low)
        case "<":
            return Bounds(-1.0, low, open=True)
        case "<=":
            return Bounds(0.0, low)
    return Bounds(low, low)
