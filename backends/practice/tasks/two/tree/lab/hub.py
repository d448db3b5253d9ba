"""How parts ask each other: one line of JSON there, one back."""

import asyncio
import json
import logging

log = logging.getLogger(__name__)


class Unreachable(Exception):
    """The other part is not there, or has hung up."""


class Failed(Exception):
    """The other part could not do it."""


def answers(question):
    """Mark a method as the answer to a question."""

    def mark(method):
        method.question = question
        return method

    return mark


class Part:
    """One process of the service. `TOPICS` are announcements that it listens to."""

    name = ""

    def __init__(self, hub):
        self.hub = hub
        marked = [getattr(type(self), name) for name in dir(type(self))]
        self.table = {method.question: method for method in marked if hasattr(method, "question")}

    async def open(self):
        """Begin."""

    async def close(self):
        """End."""

    async def answer(self, question, ask):
        if question not in self.table:
            raise Failed(f"{self.name} does not know {question}")
        return await self.table[question](self, ask)


class Hub:
    """Parts at ports of this machine. `listeners` says which part hears which announcement."""

    def __init__(self, ports, listeners):
        self.ports = ports
        self.listeners = listeners

    async def ask(self, part, question, ask):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.ports[part])
            writer.write(json.dumps([question, ask]).encode() + b"\n")
            line = await reader.readline()
            writer.close()
        except OSError as error:
            raise Unreachable(part) from error
        if not line:
            raise Unreachable(part)
        good, value = json.loads(line)
        if not good:
            raise Failed(value)
        return value

    async def publish(self, topic, news):
        """Announce something; returns when everybody who listens has it."""
        for part in self.listeners.get(topic, ()):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.ports[part])
                writer.write(json.dumps([topic, news]).encode() + b"\n")
                await writer.drain()
            except OSError:
                log.warning("%s does not hear %s", part, topic)

    async def serve(self, part):
        """Answer for a part until cancelled."""

        async def connected(reader, writer):
            line = await reader.readline()
            if line:
                question, ask = json.loads(line)
                try:
                    reply = [True, await part.answer(question, ask)]
                except Exception as error:
                    log.warning("%s: %s: %r", part.name, question, error)
                    reply = [False, repr(error)]
                writer.write(json.dumps(reply).encode() + b"\n")
            writer.close()

        server = await asyncio.start_server(connected, "127.0.0.1", self.ports[part.name])
        await part.open()
        async with server:
            await server.serve_forever()
