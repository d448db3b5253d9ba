"""The providers' keys: from the environment of whoever starts or resumes a run, else from a file that only its user
can read. They are never in the store and never on a command line."""

import json
import os
import stat
import tempfile
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from shlex import quote

from app.failure import CommandError, Exit
from store.domain.route import asked_of
from store.domain.task import Task

VARIABLE = "ANTHROPIC_API_KEY"
PROVIDERS = {"anthropic": "Anthropic", "openai": "OpenAI", "gemini": "Gemini"}
"""Whose keys can be kept, and how people call them."""

_NAME = "anthropic"


class CredentialsError(CommandError):
    """There is no key, or it is not kept as it must be."""

    def __init__(self, message: str) -> None:
        super().__init__(message, Exit.ENVIRONMENT)


def path(environ: Mapping[str, str]) -> Path:
    """The credentials file: in MULTITRACK_HOME when that is set, else in the user's configuration folder."""
    home = environ.get("MULTITRACK_HOME")
    if home:
        return Path(home) / "credentials.toml"
    from platformdirs import user_config_path

    return user_config_path("multitrack") / "credentials.toml"


def provider_key(environ: Mapping[str, str]) -> tuple[str, str]:
    """The key, and where it came from. CredentialsError when there is none, or when others can read the file."""
    key, source = found(environ, _NAME, (VARIABLE,))
    if not key:
        raise CredentialsError(
            f"there is no key for the model's provider: set {VARIABLE}, or keep one with `multitrack login` "
            f"(in {path(environ)}). `multitrack demo` needs none."
        )
    return key, source


def found(environ: Mapping[str, str], provider: str, variables: Sequence[str]) -> tuple[str, str]:
    """A provider's key, from the first of the variables that is set, else from the file, and where it came from; "" for
    both when there is none. CredentialsError when others can read the file."""
    for variable in variables:
        if key := environ.get(variable, "").strip():
            return key, f"${variable}"
    file = path(environ)
    key = _read(file).get(provider, "")
    return (key, str(file)) if key else ("", "")


def provider_environ(environ: Mapping[str, str], task: Task | None = None) -> dict[str, str]:
    """The environment for an engine that speaks to providers: with the key in it, or with those of all providers that
    may be asked for the task's models. CredentialsError as above."""
    return {**environ, **{variable: key for variable, key, _ in _keys(environ, task)}}


def key_sources(environ: Mapping[str, str], task: Task | None) -> list[str]:
    """Where the keys come from that `provider_environ` puts in, each place once. CredentialsError as above."""
    return list(dict.fromkeys(source for _, _, source in _keys(environ, task)))


def _keys(environ: Mapping[str, str], task: Task | None) -> Iterator[tuple[str, str, str]]:
    """The variables that an engine reads keys from, the keys, and where each comes from."""
    asked = {_NAME} if task is None else providers_of(task)
    if _NAME in asked:
        yield (VARIABLE, *provider_key(environ))
    for name, variables in sorted(_variables(task, asked - {_NAME}).items()):
        key, source = found(environ, name, variables)
        if not key:
            raise CredentialsError(
                f"there is no key for {name}, which a route or the agent leads to: set {variables[0]}, or keep one in "
                f"{path(environ)}."
            )
        yield variables[0], key, source


def providers_of(task: Task) -> set[str]:
    """The providers that may be asked for a task's models."""
    from backends.agents import spoken

    models = {task.model, *(strategy.model for strategy in task.strategies if strategy.model)}
    homes = spoken(task)
    asked = {name for model in models for home in homes for name in asked_of(task.routes, model, home)}
    # The observer's model is asked as Anthropic's would be, whoever answers.
    return asked | (asked_of(task.routes, task.observer_model, "anthropic") if task.observer_model else frozenset())


def _variables(task: Task | None, names: Collection[str]) -> dict[str, Sequence[str]]:
    """The environment variables that may have the keys of providers, by name; without those that need no key."""
    if not names or task is None:
        return {}
    from backends.proxy import KNOWN

    variables = {name: known.keys for name, known in KNOWN.items()}
    variables |= {one.name: (one.key,) if one.key else () for one in task.upstreams}
    return {name: variables[name] for name in names if variables[name]}


def save(environ: Mapping[str, str], key: str, provider: str = _NAME) -> Path:
    """Keep a provider's key, beside those of others, readable by its user alone; where. CredentialsError when it can't
    be a key."""
    key = key.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise CredentialsError(
            "that is no key: a key is one word of plain letters, digits and signs. Nothing was kept."
        )
    file = path(environ)
    lines = [f"{name} = {json.dumps(kept)}\n" for name, kept in {**_read(file), provider: key}.items()]
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # A file of mkstemp's is its user's alone from the first instant.
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=".credentials-")
    try:
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.writelines(["# Written by `multitrack login`. Keep it to yourself.\n", *lines])
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return file


def forget(environ: Mapping[str, str]) -> Path | None:
    """Remove the kept key; the file that is gone, None when there was none."""
    file = path(environ)
    try:
        file.unlink()
    except FileNotFoundError:
        return None
    return file


def _read(file: Path) -> dict[str, str]:
    """The keys that the file has, by provider."""
    try:
        # A pipe in the file's place must not hold us up.
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return {}
    with os.fdopen(handle, "rb") as stream:
        # Asked of the open file: what is checked is what is read.
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise CredentialsError(f"{file} is no ordinary file. Remove it, then `multitrack login`.")
        if status.st_uid != os.geteuid():
            raise CredentialsError(f"{file} belongs to somebody else. Remove it, then `multitrack login`.")
        if status.st_mode & 0o077:
            raise CredentialsError(
                f"others can read the key in {file} (mode {stat.S_IMODE(status.st_mode):04o}): it is not used. "
                f"`chmod 600 {quote(str(file))}`, and think about a new key."
            )
        try:
            kept = tomllib.load(stream)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise CredentialsError(f"{file} can't be read: {error}. `multitrack login` writes it anew.") from error
    return {name: key for name, key in kept.items() if isinstance(key, str)}
