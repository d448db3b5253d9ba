"""What has to be known of a command-line agent, as plain data."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

NOTHING: Mapping[str, str] = MappingProxyType({})

PLACEHOLDERS = ("prompt", "again", "goal", "strategy", "observations", "check", "model", "url", "key")
"""What a command may name in braces. `{prompt}` is the path of a file with all that the subagent is told, `{again}` of
what it is told when it goes on after its engine died; the others are the texts themselves. `{url}` is the proxy's base
URL, `{key}` the subagent's virtual key."""

_PLACEHOLDER = re.compile(r"(?<!\$)\{(" + "|".join(PLACEHOLDERS) + r")\}")


def variable(placeholder: str) -> str:
    """The variable that holds a placeholder's value in the command's environment."""
    return f"MULTITRACK_{placeholder.upper()}"


@dataclass(frozen=True)
class Declaration:
    """A command-line agent.

    `command` is a shell command, run in the clone with an empty standard input; it ends when the agent does. `again` is
    the one that goes on with the conversation that the agent itself has kept in its home, "" where it keeps none: it
    then begins anew, told that files may have been changed already. `environment` and `model` may have the placeholders
    `{model}`, `{url}` and `{key}`, and `model` has `{provider}` too; a provider's prefix is taken off a model's name.

    `provider` is the provider whose protocol it speaks, "" where that goes by the model. `install` are the lines of a
    Dockerfile that put it on a Debian image. `leavings` are names in the clone's root, with shell patterns, that it
    leaves there for itself. `quiet` when all that it prints is on its tape as well.
    """

    name: str
    command: str
    again: str = ""
    environment: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    model: str = "{model}"
    provider: str = ""
    install: tuple[str, ...] = ()
    leavings: tuple[str, ...] = ()
    quiet: bool = True

    def script(self, *, again: bool = False) -> str:
        """The shell command, with variables in the place of placeholders."""
        return _PLACEHOLDER.sub(lambda match: f'"${variable(match[1])}"', self.again if again else self.command)

    def provider_of(self, model: str) -> str:
        """The name of the provider that it asks for this model."""
        return self.provider or provider_of(model)

    def variables(self, model: str, url: str, key: str) -> dict[str, str]:
        """Its environment beside what every command in the sandbox has."""
        said = {"url": url, "key": key}
        prefix = f"{provider_of(model)}/"
        said["model"] = self.model.format(model=model.removeprefix(prefix), provider=self.provider_of(model))
        return {name: value.format(**said) for name, value in self.environment.items()} | {
            variable(name): value for name, value in said.items()
        }


def provider_of(model: str) -> str:
    """The provider of a model, by its name: LiteLLM's prefix, or what the providers call their own."""
    prefix, slash, _ = model.partition("/")
    if slash and prefix in ("anthropic", "openai", "gemini"):
        return prefix
    if re.match(r"gpt-|chatgpt|o\d|codex", model):
        return "openai"
    return "gemini" if model.startswith("gemini") else "anthropic"


def dockerfile(declaration: Declaration, base: str) -> str:
    """A Dockerfile that puts the agent on an image, which the build argument BASE may name instead."""
    return "\n".join([f"ARG BASE={base}", "FROM $BASE", "USER root", *declaration.install]) + "\n"
