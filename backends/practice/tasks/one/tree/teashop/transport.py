"""Calls between services: one JSON line there, one back, over TCP."""

import asyncio
import json
import logging

log = logging.getLogger(__name__)


class Unavailable(ConnectionError):
    """The other side can't be reached, or went away before it answered."""


class Refused(Exception):
    """The other side answered that it could not do it."""


class Dropped(Exception):
    """Raised by a handler to hang up without an answer."""


class Service:
    """Something with a name that answers operations. `network` carries its own calls."""

    name = ""

    def __init__(self, network):
        self.network = network
        self.operations = {}

    async def start(self):
        """Begin background work, if there is any."""

    async def stop(self):
        """End background work."""

    async def call(self, service, operation, body, timeout):
        """Ask another service. Raises TimeoutError, Unavailable or Refused."""
        return await self.network.call(service, operation, body, timeout)

    async def handle(self, operation, body):
        """Answer one request."""
        handler = self.operations.get(operation)
        if handler is None:
            raise Refused(f"{self.name} has no operation {operation}")
        return await handler(body)


class Network:
    """Calls over TCP, a connection for each."""

    def __init__(self, host, ports):
        self.host = host
        self.ports = ports

    async def call(self, service, operation, body, timeout):
        return await asyncio.wait_for(self.exchange(service, operation, body), timeout)

    async def exchange(self, service, operation, body):
        try:
            reader, writer = await asyncio.open_connection(self.host, self.ports[service])
        except OSError as error:
            raise Unavailable(f"{service}: {error}") from error
        try:
            writer.write(json.dumps({"operation": operation, "body": body}).encode() + b"\n")
            await writer.drain()
            line = await reader.readline()
        except ConnectionError as error:
            raise Unavailable(f"{service}: {error}") from error
        finally:
            writer.close()
        if not line:
            raise Unavailable(f"{service} hung up")
        answer = json.loads(line)
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["result"]


async def serve(service, host, port):
    """Answer requests to a service until cancelled."""

    async def connected(reader, writer):
        try:
            line = await reader.readline()
            if not line:
                return
            request = json.loads(line)
            try:
                answer = {"result": await service.handle(request["operation"], request["body"])}
            except Dropped:
                return
            except Exception as error:
                log.warning("%s.%s: %r", service.name, request["operation"], error)
                answer = {"error": repr(error)}
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        except ConnectionError:
            log.info("%s: the caller has gone", service.name)
        finally:
            writer.close()

    server = await asyncio.start_server(connected, host, port)
    await service.start()
    try:
        async with server:
            await server.serve_forever()
    finally:
        await service.stop()
