"""The operator's own command, run when a run has ended."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

from store.domain.safe_text import safe

FINISH_SECONDS = 600.0
"""The most that the operator's own command may take at the end of a run."""
FINISH_OUTPUT = 4096
"""Bytes kept of the end of what it prints."""


async def last_command(command: str, folder: Path, environ: dict[str, str]) -> tuple[int | None, str]:
    """Run a shell command in a folder, where `on_finish.log` takes its output: its exit code, None when it was killed
    after FINISH_SECONDS or could not be started, and the end of what it printed."""
    log_file = folder / "on_finish.log"
    try:
        with log_file.open("wb") as file:
            process = await asyncio.create_subprocess_shell(
                command,
                cwd=folder,
                env=environ,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
    except OSError as error:
        return None, str(error)
    try:
        code = await asyncio.wait_for(process.wait(), FINISH_SECONDS)
    except BaseException as error:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        if not isinstance(error, TimeoutError):
            raise
        return None, f"killed after {FINISH_SECONDS:g} s"
    with log_file.open("rb") as file:
        file.seek(max(os.fstat(file.fileno()).st_size - FINISH_OUTPUT, 0))
        return code, safe(file.read().decode("utf-8", "replace"))
