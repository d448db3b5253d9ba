"""The container's end of the relay, where it has Python: standard library only, 3.6 and later, one thread.

Listens on 127.0.0.1 and carries each connection over standard input and output, in the frames of
`backends.sandboxes.docker.relay`. Ends with its standard input.
"""

import contextlib
import os
import selectors
import socket
import struct
import sys

HEAD = struct.Struct(">BIH")
READY, OPEN, DATA, END, RESET, CREDIT, FAILED = range(1, 8)
WINDOW, PIECE, MOST, BACKLOG = 262144, 32768, 512, 1048576


class Stream:
    """One connection. `credit` is how much may be sent of what it says; `out` waits to be written to it."""

    def __init__(self, number: int, sock: socket.socket) -> None:
        self.number, self.sock = number, sock
        self.credit, self.out = WINDOW, bytearray()
        self.said_all = self.heard_all = False
        self.interest = 0


class Relay:
    """All connections, and what waits for standard output."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self.selector = selectors.DefaultSelector()
        self.streams: dict[int, Stream] = {}
        self.count = 0
        self.inbox, self.outbox = bytearray(), bytearray()
        self.writing = self.full = self.crowded = False
        self.selector.register(0, selectors.EVENT_READ, "stdin")
        self.selector.register(listener, selectors.EVENT_READ, "listener")

    def run(self) -> None:
        """Until standard input ends."""
        while True:
            for key, events in self.selector.select():
                if key.data == "stdin":
                    if not self.hear():
                        return
                elif key.data == "stdout":
                    self.flush()
                elif key.data == "listener":
                    self.accept()
                elif key.data.number in self.streams:
                    self.serve(key.data, events)

    def hear(self) -> bool:
        """Take what came on standard input; whether more can come."""
        try:
            data = os.read(0, 65536)
        except BlockingIOError:
            return True
        if not data:
            return False
        self.inbox += data
        at = 0
        while len(self.inbox) - at >= HEAD.size:
            kind, number, length = HEAD.unpack_from(self.inbox, at)
            if len(self.inbox) - at < HEAD.size + length:
                break
            self.take(kind, number, bytes(self.inbox[at + HEAD.size : at + HEAD.size + length]))
            at += HEAD.size + length
        del self.inbox[:at]
        return True

    def take(self, kind: int, number: int, data: bytes) -> None:
        """One frame. What is about a connection that is over is nobody's."""
        stream = self.streams.get(number)
        if stream is None:
            return
        if kind == DATA:
            stream.out += data
            self.write(stream)
        elif kind == END:
            stream.heard_all = True
            self.write(stream)
        elif kind == CREDIT:
            stream.credit += struct.unpack(">I", data)[0]
            self.watch(stream)
        elif kind == RESET:
            self.drop(stream)

    def accept(self) -> None:
        """Take a new connection."""
        try:
            sock, _ = self.listener.accept()
        except OSError:
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.count += 1
        stream = Stream(self.count, sock)
        self.streams[stream.number] = stream
        self.say(OPEN, stream.number)
        self.watch(stream)
        self.make_room()

    def serve(self, stream: Stream, events: int) -> None:
        """A connection that has something to say, or room."""
        if events & selectors.EVENT_WRITE:
            self.write(stream)
        if events & selectors.EVENT_READ and stream.number in self.streams and not stream.said_all:
            try:
                data = stream.sock.recv(min(PIECE, stream.credit))
            except BlockingIOError:
                return
            except OSError:
                self.reset(stream)
                return
            if data:
                stream.credit -= len(data)
                self.say(DATA, stream.number, data)
            else:
                stream.said_all = True
                self.say(END, stream.number)
            self.watch(stream)

    def write(self, stream: Stream) -> None:
        """Write what waits for a connection, and make room for as much."""
        try:
            while stream.out:
                sent = stream.sock.send(stream.out[:65536])
                del stream.out[:sent]
                self.say(CREDIT, stream.number, struct.pack(">I", sent))
        except BlockingIOError:
            pass
        except OSError:
            self.reset(stream)
            return
        if stream.heard_all and not stream.out:
            with contextlib.suppress(OSError):
                stream.sock.shutdown(socket.SHUT_WR)
        self.watch(stream)

    def watch(self, stream: Stream) -> None:
        """Wait for what a connection can do next; close it when both sides have said all."""
        if stream.number not in self.streams:
            return
        if stream.said_all and stream.heard_all and not stream.out:
            self.drop(stream, gently=True)
            return
        reads = not stream.said_all and stream.credit > 0 and not self.full
        interest = (selectors.EVENT_READ if reads else 0) | (selectors.EVENT_WRITE if stream.out else 0)
        if interest == stream.interest:
            return
        if not interest:
            self.selector.unregister(stream.sock)
        elif stream.interest:
            self.selector.modify(stream.sock, interest, stream)
        else:
            self.selector.register(stream.sock, interest, stream)
        stream.interest = interest

    def reset(self, stream: Stream) -> None:
        """A connection broke."""
        self.say(RESET, stream.number)
        self.drop(stream)

    def drop(self, stream: Stream, gently: bool = False) -> None:
        """Let go of a connection; unless gently, its client sees that it broke."""
        del self.streams[stream.number]
        if stream.interest:
            self.selector.unregister(stream.sock)
        if not gently:
            with contextlib.suppress(OSError):
                stream.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.sock.close()
        self.make_room()

    def make_room(self) -> None:
        """New connections wait in the listener's queue while there are as many as may be."""
        crowded = len(self.streams) >= MOST
        if crowded != self.crowded:
            self.crowded = crowded
            if crowded:
                self.selector.unregister(self.listener)
            else:
                self.selector.register(self.listener, selectors.EVENT_READ, "listener")

    def say(self, kind: int, number: int, data: bytes = b"") -> None:
        """One frame, on its way out."""
        self.outbox += HEAD.pack(kind, number, len(data)) + data
        self.flush()

    def flush(self) -> None:
        """Write what standard output takes. While much waits, nothing more is read from connections."""
        try:
            while self.outbox:
                sent = os.write(1, self.outbox[:65536])
                del self.outbox[:sent]
        except BlockingIOError:
            pass
        if bool(self.outbox) != self.writing:
            self.writing = bool(self.outbox)
            if self.writing:
                self.selector.register(1, selectors.EVENT_WRITE, "stdout")
            else:
                self.selector.unregister(1)
        full = len(self.outbox) > BACKLOG
        if full != self.full:
            self.full = full
            for stream in list(self.streams.values()):
                self.watch(stream)


def listen(port: int) -> "tuple[socket.socket | None, str]":
    """A listener on the port, or on another one where that is taken."""
    problem = ""
    for wanted in (port, 0):
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", wanted))
            sock.listen(128)
        except OSError as error:
            sock.close()
            problem = str(error)
            continue
        sock.setblocking(False)
        return sock, ""
    return None, problem


def main() -> None:
    """Say the port, then relay."""
    listener, problem = listen(int(sys.argv[1]))
    if listener is None:
        said = problem.encode()[:1000]
        os.write(1, HEAD.pack(FAILED, 0, len(said)) + said)
        return
    os.set_blocking(0, False)
    os.set_blocking(1, False)
    relay = Relay(listener)
    relay.say(READY, listener.getsockname()[1], b"python3")
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        relay.run()


main()
