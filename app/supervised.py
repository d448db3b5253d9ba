"""A command in our place: it has our terminal, our descriptors and our process group, and we wait for it as a shell
does, stop when it stops, and pass on what only we were told.

What the terminal sends (Ctrl-C, Ctrl-\\, Ctrl-Z, a hang-up, a new size) it sends to the whole process group, so the
command has it already; what another process sends to us alone is passed on. Which of the two it was the kernel tells
with the signal, so signals are waited for, not handled."""

import errno
import os
import shutil
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from app.failure import CommandError

NOT_FOUND, NOT_EXECUTABLE, SIGNALLED = 127, 126, 128
"""Exit codes as shells have them; of a signal the last one with its number."""

_PASSED = frozenset(
    {signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTSTP}
)
_WAITED = _PASSED | {signal.SIGCHLD}
_RESTORED = [number for number in (signal.SIGPIPE, signal.SIGXFSZ) if signal.getsignal(number) is signal.SIG_IGN]
"""What Python ignores and programs don't."""


class CommandNotRun(CommandError):  # noqa: N818 - how it ended, not what was wrong
    """The command can't be run; `status` is the exit code that a shell has for that."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def found(program: str, environ: Mapping[str, str]) -> str:
    """The file of a program, as a shell finds it. CommandNotRun."""
    path = environ.get("PATH", os.defpath)
    if (file := shutil.which(program, path=path)) is not None:
        return file
    if "/" in program:
        if Path(program).is_dir():
            raise CommandNotRun(f"{program} is a folder", NOT_EXECUTABLE)
        if Path(program).exists():
            raise CommandNotRun(f"{program} is not executable", NOT_EXECUTABLE)
        raise CommandNotRun(f"{program}: there is no such file", NOT_FOUND)
    for folder in path.split(os.pathsep):
        if (each := Path(folder or ".") / program).is_file():
            raise CommandNotRun(f"{each} is not executable", NOT_EXECUTABLE)
    raise CommandNotRun(f"{program}: there is no such command", NOT_FOUND)


class Supervised:
    """A running command. One at a time, and in the main thread."""

    def __init__(self, file: str, arguments: Sequence[str], environ: Mapping[str, str]) -> None:
        """Start it. CommandNotRun when that can't be done."""
        # Only a signal with a handler is sure to wait where it is blocked.
        self._child = signal.signal(signal.SIGCHLD, _nothing)
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED)
        try:
            self.pid = _spawned(file, arguments, environ, self._mask)
        except BaseException:
            self._let_go()
            raise

    def wait(self) -> int:
        """Its exit code, when it has ended; 128 and the signal's number when a signal ended it."""
        try:
            while True:
                number, alone = _awaited()
                if number != signal.SIGCHLD:
                    if alone:
                        os.kill(self.pid, number)  # it is not reaped yet: the number is still its own
                elif (code := self._changed()) is not None:
                    return code
        finally:
            # A second Ctrl-C, which came when it had ended, was not for us either.
            with suppress(KeyboardInterrupt):
                self._let_go()

    def _changed(self) -> int | None:
        """Follow what became of it: its exit code when it has ended."""
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED)
            if pid == 0:
                return None
            if not os.WIFSTOPPED(status):
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else SIGNALLED - code
            if _has_terminal():
                self._stop(os.WSTOPSIG(status))

    def _stop(self, number: int) -> None:
        """Stop as it did, so that the shell takes the terminal back; when we go on, so does it."""
        os.kill(os.getpid(), number)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})  # here we stop, if it was blocked
        signal.pthread_sigmask(signal.SIG_BLOCK, {number} & _WAITED)
        pid, _ = os.waitpid(self.pid, os.WNOHANG | os.WCONTINUED)
        if pid == 0:
            # A shell tells the whole group; whoever told us alone meant both.
            os.kill(self.pid, signal.SIGCONT)

    def _let_go(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        signal.signal(signal.SIGCHLD, self._child)


def _has_terminal() -> bool:
    """Whether there may be a shell that waits for us to stop, and lets us go on."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _nothing(*_: object) -> None:
    pass


def _spawned(file: str, arguments: Sequence[str], environ: Mapping[str, str], mask: Iterable[int]) -> int:
    try:
        return os.posix_spawn(file, [*arguments], environ, setsigmask=mask, setsigdef=_RESTORED)
    except OSError as error:
        if error.errno == errno.ENOEXEC:
            # A script without a first line that says whose it is.
            return os.posix_spawn(
                "/bin/sh", ["sh", file, *arguments[1:]], environ, setsigmask=mask, setsigdef=_RESTORED
            )
        # The file is there: what is missing is what its first line names.
        status = NOT_FOUND if error.errno == errno.ENOENT else NOT_EXECUTABLE
        raise CommandNotRun(f"{file} can't be run: {error.strerror}", status) from error


if sys.platform == "darwin":

    def _awaited() -> tuple[int, bool]:
        """The next signal, and whether it was for us alone. Who sent it isn't told here: what a terminal sends, it
        is taken to have sent."""
        number = signal.sigwait(_WAITED)
        return number, number not in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP)

else:

    def _awaited() -> tuple[int, bool]:
        """The next signal, and whether it was for us alone: the kernel's are for the group, a process's for us."""
        told = signal.sigwaitinfo(_WAITED)
        return told.si_signo, told.si_code <= 0
