"""Tool calls as people read them, and what makes two of them the same."""

import json
from collections.abc import Container, Iterable, Mapping
from typing import Any

from backends.observer.attempt import Step
from backends.observer.findings import quoted

PROSE = 6
"""Words from which on a text among a call's inputs is prose: two models never put it in the same words."""
_NAMES = 3
"""Characters of the shortest input that is a name of something."""
_DIFFERENT = 3
"""Inputs whose values are told."""
_VALUE = 60
"""Characters of the longest value that is told."""
_VALUES = 4
_BRIEF = 60
_SHORT = 24
_WIDE = 100
"""Characters of a call on one line."""

Given = Mapping[str, Any]


def same(step: Step) -> str:
    """The same text for the same call: prose in its inputs aside, and white space in them."""
    return f"{step.name}({json.dumps(_without_prose(step.input), sort_keys=True, ensure_ascii=False, default=str)})"


def shown(step: Step, only: Container[str] | None = None) -> str:
    """The call on one line, with all of its inputs or some."""
    inputs = [(name, value) for name, value in sorted(step.input.items()) if only is None or name in only]
    given = ", ".join(f"{name}={_flat(_without_prose(value))}" for name, value in inputs)
    return f"{step.name}({given})"


def brief(step: Step) -> str:
    """The call as a text names it: where it is long, without its long inputs."""
    line = shown(step)
    if len(line) <= _BRIEF:
        return line
    given = {name: _flat(_without_prose(value)) for name, value in sorted(step.input.items())}
    short = [f"{name}={value}" for name, value in given.items() if len(value) <= _SHORT]
    return f"{step.name}({', '.join(short if len(short) == len(given) else [*short, '…'])})"


def listed(step: Step) -> list[str]:
    """The call in full: on one line, or an input a line where it is long."""
    if len(line := shown(step)) <= _WIDE and not any(
        isinstance(value, list | Mapping) for value in step.input.values()
    ):
        return [line]
    lines = [step.name]
    for name, value in sorted(step.input.items()):
        value = _without_prose(value)
        if isinstance(value, list) and len(_compact(value)) > _WIDE:
            lines += [f"    {name}:", *(f"      {_compact(one)}" for one in value)]
        else:
            lines.append(f"    {name}: {_compact(value)}")
    return lines


def without_inputs(message: str, given: Any) -> str:
    """What a tool answered without what it was given: the same answer to another request."""
    match given:
        case str() if len(given) >= _NAMES:
            return message.replace(given, "<input>")
        case list():
            values: Iterable[Any] = given
        case Mapping():
            values = given.values()
        case _:
            return message
    for value in values:
        message = without_inputs(message, value)
    return message


def changed(before: Given, after: Given) -> list[str]:
    """The inputs that differ between two calls of one tool."""
    return [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]


def alike(one: Given, other: Given) -> bool:
    """Whether two calls of one tool are about the same thing: they have an input in common, or only one at all."""
    return len(changed(one, other)) < max(len({*one, *other}), 2)


def differing(before: Given, after: Given) -> str:
    """How a call differs from the one before, as what it was made "with". Long values are only named."""
    names = changed(before, after)
    if len(names) > _DIFFERENT:
        return "with other " + in_words(quoted(name, 40) for name in names)
    return "with " + in_words(_value(before, after, name) for name in names)


def _value(before: Given, after: Given, name: str) -> str:
    if name not in after:
        return f"no {quoted(name, 40)}"
    value = _flat(_without_prose(after[name]))
    if len(value) > _VALUE or value == "…":
        return f"another {quoted(name, 40)}" if name in before else quoted(name, 40)
    return f"{quoted(name, 40)} = {quoted(value)}"


def values_of(inputs: Iterable[Given], name: str) -> str:
    """The values that an input had, each once; of lists, what not all of them have."""
    values = [_without_prose(given[name]) if name in given else None for given in inputs]
    lists = [value for value in values if isinstance(value, list)]
    shared = [one for one in lists[0] if all(one in value for value in lists)] if len(lists) == len(values) else []
    flat = ["nothing" if value is None else _flat(_rest(value, shared)) for value in values]
    told = [quoted(value, _VALUE) for value in dict.fromkeys(flat)]
    return in_words([*told[:_VALUES], *([f"{len(told) - _VALUES} more"] if len(told) > _VALUES else [])], "or")


def _rest(value: Any, shared: list[Any]) -> Any:
    return ["…", *(one for one in value if one not in shared)] if shared else value


def in_words(words: Iterable[str], last_by: str = "and") -> str:
    """Words as a sentence lists them."""
    *most, last = words
    return f"{', '.join(most)} {last_by} {last}" if most else last


def _without_prose(value: Any) -> Any:
    match value:
        case str():
            return "…" if len(value.split()) >= PROSE else " ".join(value.split())
        case list():
            return [_without_prose(one) for one in value]
        case Mapping():
            return {name: _without_prose(one) for name, one in value.items()}
    return value


def _flat(value: Any) -> str:
    """A value in few characters: of what is nested, the values alone."""
    match value:
        case Mapping():
            return " ".join(map(_flat, value.values()))
        case list():
            return f"[{'; '.join(map(_flat, value))}]"
    return _compact(value)


def _compact(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
