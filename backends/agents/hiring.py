"""Who does the work of a run's subagents, by the name in its task file, and what that one needs around it."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from backends.agents.builtin import BuiltinAgent
from backends.agents.commands.agent import CommandAgent
from backends.agents.commands.known import declared
from store.domain.ids import SubagentId
from store.domain.task import Task

if TYPE_CHECKING:
    from store.database import Store

BUILTIN = "builtin"
"""The agent that is no program of its own."""

BeforeTurn = Callable[[SubagentId, str, bytes], Awaitable[str]]


def hire(agent: str, store: "Store") -> tuple[BuiltinAgent | CommandAgent, BeforeTurn | None]:
    """The agent, and what the proxy has to await before each of its turns: the built-in one sees to that itself."""
    if agent == BUILTIN:
        return BuiltinAgent(), None
    made = CommandAgent(declared(agent), store)
    return made, made.before_turn


def listens(agent: str) -> bool:
    """It reads what the operator tells it while it works: one that is a program of its own, only where it keeps its
    conversation, so that another process of it can go on with that."""
    return agent == BUILTIN or bool(declared(agent).again)


def spoken(task: Task) -> set[str]:
    """The providers whose protocols the agent speaks, with the models that it may be told to use."""
    if task.agent == BUILTIN:
        return {"anthropic"}
    models = {task.model, *(strategy.model for strategy in task.strategies)} - {""}
    return {declared(task.agent).provider_of(model) for model in models}


def installed(agent: str) -> tuple[str, ...]:
    """The lines of a Dockerfile that put the agent on an image."""
    return () if agent == BUILTIN else declared(agent).install
