"""The check: run by the harness itself, on a patch, in a clean sandbox. Nothing that a subagent says counts."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from backends.sandboxes import Executed, SandboxError, Sandboxes
from store.domain.events import CheckResult
from store.domain.failures import count
from store.domain.task import Check

log = logging.getLogger("multitrack.harness")

OUTPUT_CAP = 1024 * 1024
"""Bytes kept of a check's output."""
TAIL_LINES = 20

_CANNOT_RUN = {126: "is not executable", 127: "was not found"}
"""What a POSIX shell's exit codes say of the command itself."""


@dataclass(frozen=True)
class Checker:
    """Runs one task's check. `keep` stores a text and gives its digest."""

    sandboxes: Sandboxes
    revision: str
    check: Check
    keep: Callable[[str], Awaitable[str]]

    async def run(self, name: str, patch: bytes = b"") -> CheckResult:
        """The verdict on a patch, b"" for the unchanged code; broken where no sandbox can be had for it."""
        try:
            return await self.tried(name, patch)
        except SandboxError as error:
            return could_not_run(str(error))

    async def tried(self, name: str, patch: bytes = b"") -> CheckResult:
        """The same, with SandboxError where no sandbox can be had. One that is lost over it, with the machine that it
        was on for instance, says nothing about the patch: it is tried in another. Cancelling it leaves nothing behind.
        """
        executed = None
        for last in (False, True):
            sandbox = await self.sandboxes.create(name, self.revision)
            try:
                if patch:
                    await sandbox.apply(patch)
                executed = await sandbox.run(self.check.command, seconds=self.check.seconds, cap=OUTPUT_CAP)
                break
            except SandboxError as error:
                if last:
                    raise
                log.warning("the check is tried again: %s", error)
            finally:
                try:
                    await sandbox.close()
                except SandboxError as error:
                    # The verdict stands; the run's end tries again.
                    log.warning("%s", error)
        assert executed is not None
        output = executed.text()
        return judge(executed, output, await self.keep(output), self.check)


def judge(executed: Executed, output: str, digest: str, check: Check) -> CheckResult:
    """What a finished command says about the patch."""
    broken = ""
    if executed.exit_code in _CANNOT_RUN:
        broken = f"the check `{check.command}` {_CANNOT_RUN[executed.exit_code]} (exit code {executed.exit_code})"
    return CheckResult(
        passed=executed.exit_code == 0,
        exit_code=executed.exit_code,
        failures=count(output, executed.exit_code),
        seconds=executed.seconds,
        output=digest,
        tail="\n".join(output.splitlines()[-TAIL_LINES:]),
        broken=broken,
    )


def refusal(results: tuple[CheckResult, ...], check: Check) -> str:
    """Why a run cannot start with these results on the unchanged code; "" when it can."""
    broken = next((result.broken for result in results if result.broken), "")
    if broken:
        return f"The check cannot be run: {broken}. Correct `check.command` in the task file and start again."
    verdicts = [result.passed for result in results]
    if all(verdicts):
        return (
            f"The check `{check.command}` passes before anything is changed, so there is nothing to solve. "
            "Choose a check that fails because of the bug."
        )
    if any(verdicts):
        passed, total = sum(verdicts), len(verdicts)
        return (
            f"The check `{check.command}` disagrees with itself: on the same unchanged code it passed {passed} of "
            f"{total} times. A flaky check cannot tell a fix from luck; make it deterministic first."
        )
    if all(result.exit_code is None for result in results):
        return (
            f"The check `{check.command}` takes longer than its {check.seconds:g} s. "
            "Raise `check.seconds` in the task file, or choose a quicker check."
        )
    return ""


def could_not_run(reason: str) -> CheckResult:
    """The result of a check that could not be run at all."""
    return CheckResult(False, None, None, 0.0, "", "", reason)
