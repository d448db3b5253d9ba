"""The driver of the printing machine. What it is told to print it prints."""

import asyncio

from lab.hub import Part, answers


class Machine(Part):
    name = "machine"

    def __init__(self, hub, seconds):
        super().__init__(hub)
        self.seconds = seconds
        self.printed = []
        self.busy = asyncio.Semaphore(4)

    @answers("print")
    async def print(self, ask):
        async with self.busy:
            self.printed.append(ask["job"])
            await asyncio.sleep(self.seconds(ask["job"]))
        await self.hub.publish("finished", {"job": ask["job"]})
        return {"sheets": ask["sheets"]}
