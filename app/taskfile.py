"""Reads the task file. Every mistake in it is found at once, each with its line, its key and what would be right."""

import re
import tomllib
from ast import literal_eval
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from app.context import TASK_FILE
from app.failure import CommandError, Exit
from app.taskkeys import ARRAYS, KEYS, PROTOCOLS, TABLES, Key, build_strategy, build_task
from app.taskkinds import UnfitError
from app.tomllines import lines
from store.domain.task import SandboxKind, Task

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """One mistake. `key` is "" for the file as a whole."""

    line: int
    key: str
    wrong: str
    right: str


class TaskFileError(CommandError):
    """The task file can't be used. The message has one line for each mistake."""

    placed = True

    def __init__(self, path: Path, problems: list[Problem]) -> None:
        self.problems = sorted(problems, key=lambda problem: problem.line)
        super().__init__(
            "\n".join(f"{path}:{p.line}: {p.key + ': ' if p.key else ''}{p.wrong}; {p.right}" for p in self.problems)
        )


def located(path: Path) -> Path:
    """The task file that the operator means: a folder stands for the file in it."""
    return path / TASK_FILE if (path / TASK_FILE).is_file() else path


def load(path: Path) -> Task:
    """The task that the file orders; its repository as an absolute path. TaskFileError with all mistakes."""
    try:
        source = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise CommandError(f"there is no task file {path}. `multitrack init` writes one.") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise TaskFileError(path, [Problem(line, "", "is not UTF-8", "save it as UTF-8")]) from error
    except IsADirectoryError as error:
        raise CommandError(f"{path} is a folder, and has no {TASK_FILE}. `multitrack init` writes one.") from error
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}.", Exit.ENVIRONMENT) from error
    try:
        document = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        raise TaskFileError(path, [syntax(str(error), source)]) from error
    reader = _Reader(lines(source), path.absolute().parent)
    task = reader.task(document)
    if task is None:
        raise TaskFileError(path, reader.problems)
    return task


def syntax(message: str, source: str) -> Problem:
    """What tomllib says of a source that is no TOML, in our words."""
    what, _, where = message.rpartition(" (at ")
    match = re.match(r"line (\d+)", where)
    line = int(match[1]) if match else source.rstrip().count("\n") + 1
    if twice := re.match(r"Cannot declare (\(.*\)) twice", what):
        table = ".".join(literal_eval(twice[1]))
        header = f"[[{table}]]" if table in ARRAYS else f"one [{table}]"
        return Problem(line, table, "is there twice", f"write its keys under {header}")
    if what == "Cannot overwrite a value":
        return Problem(line, "", "this key is there twice", "leave one of the two")
    what = (what or message)[:1].lower() + (what or message)[1:]
    return Problem(line, "", f"this is not TOML: {what}", 'a key reads `name = "text"`, `name = 5` or `name = true`')


class _Reader:
    def __init__(self, places: dict[Place, int], folder: Path) -> None:
        self.places, self.folder = places, folder
        self.problems: list[Problem] = []

    def task(self, document: dict[str, Any]) -> Task | None:
        """The task; None when there were mistakes, which are in `problems` then."""
        if isinstance(kind := document.get("sandbox"), str):
            document = {**document, "sandbox": {"kind": kind}}
        self._unknown_tables(document)
        plain = [name for name in TABLES if name not in ARRAYS and "." not in name]
        values = {name: self._table(document.get(name, {}), name, (name,)) for name in plain}
        strategies = tuple(self._strategies(document.get("strategies", [])))
        arrays = {name: self._array(document.get(name, []), name) for name in ("routes", "upstreams", "prices")}
        self._together(values)
        self._routes(arrays["routes"], arrays["upstreams"])
        for array, key in (("routes", "model"), ("upstreams", "name"), ("prices", "model")):
            self._twice(array, key, arrays[array])
        return None if self.problems else build_task(values, strategies, arrays)

    def _unknown_tables(self, document: dict[str, Any]) -> None:
        for name in document:
            if name in TABLES:
                continue
            owners = [key.table for key in KEYS if key.name == name]
            near = get_close_matches(name, TABLES, 1)
            if owners and not isinstance(document[name], dict):
                right = f"it belongs under [{owners[0]}]"
            elif near:
                right = f"did you mean [{near[0]}]?"
            else:
                right = f"there are {', '.join(f'[{table}]' for table in TABLES if '.' not in table)}"
            self._wrong((name,), "is unknown", right)

    def _tables(self, given: Any, name: str) -> list[dict[str, Any]]:
        """The tables of an array of them."""
        if isinstance(given, list) and all(isinstance(item, dict) for item in given):
            return given
        self._wrong((name,), "is no array of tables", f"write [[{name}]] above the keys of each")
        return []

    def _array(self, given: Any, name: str) -> list[dict[str, Any]]:
        return [self._table(item, name, (name, index)) for index, item in enumerate(self._tables(given, name))]

    def _routes(self, routes: list[dict[str, Any]], upstreams: list[dict[str, Any]]) -> None:
        """What only routes and upstreams together can show to be wrong."""
        known = {*PROTOCOLS, *(upstream["name"] for upstream in upstreams if "name" in upstream)}
        for index, upstream in enumerate(upstreams):
            if upstream.get("name") == "anthropic":
                self._wrong(("upstreams", index, "name"), "is the run's own provider", "say it as model.upstream")
        for index, route in enumerate(routes):
            if route.get("deployments") == ():
                self._wrong(("routes", index, "deployments"), "is empty", "it should name who answers")
            for key in ("deployments", "fallbacks"):
                for one in route.get(key, ()):
                    if one.upstream not in known:
                        right = f"write [[upstreams]] for it, or name one of {', '.join(sorted(known))}"
                        self._wrong(("routes", index, key), f'names the upstream "{one.upstream}"', right)

    def _twice(self, array: str, key: str, given: list[dict[str, Any]]) -> None:
        """What should be there once."""
        for index, item in enumerate(given):
            if key in item and item[key] in [before.get(key) for before in given[:index]]:
                self._wrong((array, index, key), f'"{item[key]}" is there twice', "leave one of the two")

    def _strategies(self, given: Any) -> Iterator[Any]:
        given = self._tables(given, "strategies")
        names: set[str] = set()
        for index, item in enumerate(given):
            place: Place = ("strategies", index)
            limits = self._table(item.get("limits", {}), "strategies.limits", (*place, "limits"))
            values = self._table({k: v for k, v in item.items() if k != "limits"}, "strategies", place)
            if (name := values.get("name")) in names:
                self._wrong((*place, "name"), f'"{name}" is there twice', "each strategy needs a name of its own")
            if name is not None:
                names.add(name)
            if {"name", "approach"} <= values.keys():
                yield build_strategy(values, limits)

    def _table(self, given: Any, table: str, place: Place) -> dict[str, Any]:
        """The values of a table's keys, defaults filled in; without those that are wrong."""
        keys = {key.name: key for key in KEYS if key.table == table}
        if not isinstance(given, dict):
            header = f"[[{table}]]" if table in ARRAYS else f"[{table}]"
            self._wrong(place, "is no table", f"write {header} above its keys")
            return {}
        for name in given.keys() - keys.keys():
            self._unknown_key(name, keys, (*place, name))
        values: dict[str, Any] = {}
        for name, key in keys.items():
            if name in given:
                try:
                    values[name] = key.kind.read(given[name])
                except UnfitError as error:
                    self._wrong((*place, name), str(error), f"it should be {key.kind.right}")
            elif key.required:
                self._wrong((*place, name), "is missing", f"it should be {key.kind.right}")
            else:
                values[name] = key.default
        return values

    def _unknown_key(self, name: str, keys: dict[str, Key], place: Place) -> None:
        elsewhere = [key.table for key in KEYS if key.name == name]
        near = get_close_matches(name, keys, 1)
        if near:
            right = f"did you mean {near[0]}?"
        elif name == "sandbox":
            right = "write it above all tables, or [sandbox] with a kind"
        elif elsewhere:
            right = f"it belongs under [{elsewhere[0]}]"
        else:
            right = f"this table has {', '.join(keys)}"
        self._wrong(place, "is unknown", right)

    def _together(self, values: dict[str, dict[str, Any]]) -> None:
        """What only several keys together, or the machine, can show to be wrong."""
        clean, lanes = values["generations"].get("clean", 0), values["generations"].get("lanes", 100)
        if clean > lanes:
            self._wrong(
                ("generations", "clean"), f"is {clean}, more than the {lanes} lanes", f"it should be at most {lanes}"
            )
        if "repository" in values["task"]:
            repository = (self.folder / Path(values["task"]["repository"]).expanduser()).resolve()
            if not repository.is_dir():
                self._wrong(("task", "repository"), f"there is no folder {repository}", "it should be a Git repository")
            values["task"]["repository"] = str(repository)
        self._docker(values["docker"], values["sandbox"].get("kind"))

    def _docker(self, docker: dict[str, Any], kind: str | None) -> None:
        """An image where there have to be containers, and a Dockerfile that is there."""
        if dockerfile := docker.get("dockerfile"):
            file = (self.folder / Path(dockerfile).expanduser()).resolve()
            if not file.is_file():
                self._wrong(("docker", "dockerfile"), f"there is no file {file}", "it should be a Dockerfile")
            docker["dockerfile"] = str(file)
        elif docker.get("build_arguments"):
            self._wrong(("docker", "build_arguments"), "is for a Dockerfile", "name one as docker.dockerfile")
        elif kind == SandboxKind.DOCKER and docker.get("image") == "":
            right = "docker.image should name one, or docker.dockerfile what one is built from"
            self._wrong(("sandbox", "kind"), 'is "docker", which needs an image', right)

    def _wrong(self, place: Place, wrong: str, right: str) -> None:
        key = ".".join(str(part) if isinstance(part, str) else str(part + 1) for part in place)
        found = next((self.places[place[:n]] for n in range(len(place), 0, -1) if place[:n] in self.places), 1)
        self.problems.append(Problem(found, key, wrong, right))
