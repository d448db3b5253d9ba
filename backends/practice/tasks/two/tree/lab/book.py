"""What must survive a power cut is written here first."""

import asyncio
import json


class Book:
    """Lines in a file; only in memory without one."""

    def __init__(self, file=None):
        self.file = file
        self.lines = []

    async def write(self, **entry):
        line = json.dumps(entry, sort_keys=True)
        await asyncio.get_running_loop().run_in_executor(None, self.put, line)

    def put(self, line):
        self.lines.append(line)
        if self.file is not None:
            self.file.write(line + "\n")
            self.file.flush()
