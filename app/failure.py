"""How a command ends: its exit codes, and the one exception that carries a sentence for the operator."""

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of `multitrack`; `meaning` is what `--help` and the documentation say of each."""

    FINE = 0
    UNSOLVED = 1
    USAGE = 2
    ENVIRONMENT = 3
    STORE = 4
    FAULT = 70
    INTERRUPTED = 130
    PIPE = 141

    @property
    def meaning(self) -> str:
        return _MEANINGS[self]


_MEANINGS = {
    Exit.FINE: "done",
    Exit.UNSOLVED: "done, but the bug is not solved, a command was refused, or a verification found a fault",
    Exit.USAGE: "a mistake in the command or in the task file",
    Exit.ENVIRONMENT: "something is missing here: a program, a key, a permission, disk space",
    Exit.STORE: "the store can't be read or written",
    Exit.FAULT: "a fault of Multitrack's own; --debug shows where",
    Exit.INTERRUPTED: "interrupted",
    Exit.PIPE: "whoever read the output went away",
}


class CommandError(Exception):
    """Ends a command. The message says what was wrong, where, and what to do. `placed` when each of its lines begins
    with a file and a line, as editors read them."""

    placed = False

    def __init__(self, message: str, code: Exit = Exit.USAGE) -> None:
        super().__init__(message)
        self.code = code
