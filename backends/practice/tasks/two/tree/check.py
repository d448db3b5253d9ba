"""Plays busy nights in one process, on a simulated hub, and counts what went wrong.

Time is simulated too, and each message has a delay that follows from the night's number and the message, so that the
same things overtake each other every time. Exit code 0: nothing went wrong.
"""

import asyncio
import gc
import heapq
import itertools
import json
import logging
import os
import shutil
import sys
import zlib
from collections import Counter, deque

from lab.book import Book
from lab.desk import Desk
from lab.hub import Failed, Unreachable
from lab.jobs import Jobs
from lab.machine import Machine
from lab.press import Press
from lab.settings import CENTS_FOR_PAPER
from lab.shelf import Shelf
from lab.start import LISTENERS
from lab.wallet import Wallet

MORNING = 40.0
STEPS = 20_000


class Night(asyncio.AbstractEventLoop):
    """An event loop with a clock of its own, which jumps to whatever comes next."""

    def __init__(self, number):
        self.number, self.now, self.ready, self.timers = number, 0.0, deque(), []
        self.order = itertools.count()
        self.wrong = []

    def time(self):
        return self.now

    def get_debug(self):
        return False

    def is_running(self):
        return True

    def is_closed(self):
        return False

    def create_future(self):
        return asyncio.Future(loop=self)

    def create_task(self, coroutine, *, name=None, context=None):
        return asyncio.Task(coroutine, loop=self, name=name, context=context)

    def call_soon(self, callback, *args, context=None):
        handle = asyncio.Handle(callback, args, self, context)
        self.ready.append(handle)
        return handle

    def call_later(self, delay, callback, *args, context=None):
        return self.call_at(self.now + max(delay, 0.0), callback, *args, context=context)

    def call_at(self, when, callback, *args, context=None):
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self.timers, (when, next(self.order), handle))
        return handle

    def _timer_handle_cancelled(self, handle):
        pass

    def run_in_executor(self, executor, function, *args):
        done = self.create_future()
        self.call_later(0.015 + self.delay(repr(args)), self.write, done, function, args)
        return done

    def write(self, done, function, args):
        if not done.cancelled():
            done.set_result(function(*args))

    def call_exception_handler(self, context):
        self.wrong.append(context)

    def delay(self, what):
        return 0.001 * (1 + zlib.crc32(f"{self.number}/{what}".encode()) % 9)

    def run(self, until):
        """Play on until then; whether it came to that."""
        asyncio._set_running_loop(self)
        for _ in range(STEPS):
            if not self.ready:
                if not self.timers or self.timers[0][0] > until:
                    self.now = until
                    return True
                self.now = self.timers[0][0]
                while self.timers and self.timers[0][0] <= self.now:
                    self.ready.append(heapq.heappop(self.timers)[2])
            handle = self.ready.popleft()
            if not handle._cancelled:
                handle._run()
        return False


class Simulated:
    """The hub, in memory. A part that is away until some time can't be reached."""

    def __init__(self, night):
        self.night, self.parts, self.away, self.told = night, {}, {}, Counter()
        self.fallen = []
        self.working = 0

    def delay(self, what):
        self.told[what] += 1
        return self.night.delay(f"{what}/{self.told[what]}")

    async def ask(self, part, question, ask):
        what = f"{part}/{question}/{ask.get('job', ask.get('member'))}"
        await asyncio.sleep(self.delay(what))
        if self.night.now < self.away.get(part, 0.0):
            raise Unreachable(part)
        task = self.night.create_task(self.work(part, question, json.loads(json.dumps(ask))))
        value, error = await asyncio.shield(task)
        await asyncio.sleep(self.delay(what))
        if error is not None:
            raise error
        return value

    async def work(self, part, question, ask):
        self.working += 1
        try:
            return json.loads(json.dumps(await self.parts[part].answer(question, ask))), None
        except (TimeoutError, Unreachable, Failed) as error:
            return None, Failed(repr(error))
        except Exception as error:
            self.fallen.append(repr(error))
            return None, Failed(repr(error))
        finally:
            self.working -= 1

    async def publish(self, topic, news):
        for part in LISTENERS.get(topic, ()):
            self.night.call_later(self.delay(f"{topic}/{news['job']}"), self.hear, part, topic, dict(news))
        await asyncio.sleep(0.001)

    def hear(self, part, topic, news):
        self.night.create_task(self.work(part, topic, news))


class Lab:
    """All parts, and what members do."""

    def __init__(self, number, slow=(), slots=12):
        self.night = Night(number)
        self.hub = hub = Simulated(self.night)
        asyncio._set_running_loop(self.night)
        self.desk = Desk(hub, self.mail)
        self.jobs = Jobs(hub, Book(), self.papers)
        self.wallet = Wallet(hub, Book())
        self.press = Press(hub)
        self.machine = Machine(hub, lambda job: 2.3 if job in slow else 0.2)
        self.shelf = Shelf(hub, Book(), slots)
        self.parts = (self.desk, self.jobs, self.wallet, self.press, self.machine, self.shelf)
        hub.parts = {part.name: part for part in self.parts}
        for part in self.parts:
            self.night.create_task(part.open())
        self.asked, self.heard, self.money, self.statements, self.mailed = {}, {}, Counter(), [], Counter()

    async def mail(self, job):
        await asyncio.sleep(0.03)
        self.mailed[job] += 1

    async def papers(self, kind):
        await asyncio.sleep(0.02)
        return CENTS_FOR_PAPER.get(kind)

    def at(self, when, coroutine):
        self.night.call_at(when, self.night.create_task, coroutine)

    async def pay_in(self, member, cents):
        self.money[member] += cents
        await self.hub.ask("wallet", "deposit", {"member": member, "cents": cents})

    async def hand_in(self, job, member, sheets):
        self.asked[job] = {"job": job, "member": member, "sheets": sheets, "paper": "baryta"}
        try:
            answer = await self.hub.ask("desk", "submit", self.asked[job])
            self.heard[job] = answer["state"]
        except (Failed, Unreachable) as error:
            self.heard[job] = repr(error)
        if self.heard[job] == "accepted":
            self.money[member] -= sheets * CENTS_FOR_PAPER["baryta"]

    async def ask_statement(self, member):
        self.statements.append((await self.hub.ask("wallet", "statement", {"member": member}))["number"])

    def audit(self, wrong):
        """Everything that does not add up in the morning."""
        came = self.night.run(MORNING)
        wrong["not at rest in the morning"] += self.hub.working + (not came) + len(self.asked) - len(self.heard)
        wrong["a part fell over"] += len(self.hub.fallen) + len(self.night.wrong)
        for member, cents in self.money.items():
            wrong["credit is missing"] += self.wallet.credit.get(member, 0) < cents
            wrong["credit from nowhere"] += self.wallet.credit.get(member, 0) > cents
        printed = Counter(self.machine.printed)
        for job, state in self.heard.items():
            wrong["refused for no reason"] += state != "accepted"
            wrong["paid and never printed"] += state == "accepted" and not printed[job]
            wrong["printed again"] += max(printed[job] - 1, 0)
            wrong["gone from the shelf"] += printed[job] > 0 and self.shelf.slots.count(job) != 1
            wrong["nobody told the member"] += printed[job] > 0 and self.mailed[job] != 1
        wrong["a statement's number is wrong"] += len(self.statements) - len(set(self.statements))
        for task in asyncio.all_tasks(self.night):
            task.cancel()
        self.night.run(MORNING)


def cash(lab):
    """Both cash machines at once, for the same members."""
    for m in range(3):
        for n in range(3):
            lab.at(1.0 + 0.002 * n, lab.pay_in(f"m{m}", 100 + n))
    for n in range(4):
        lab.at(2.0 + 0.001 * n, lab.ask_statement(f"m{n}"))


def evening(lab):
    """Jobs come in one after the other."""
    for n in range(4):
        lab.at(0.5 + 0.1 * n, lab.pay_in(f"m{n}", 900))
        lab.at(2.0 + 1.5 * n, lab.hand_in(f"j{n}", f"m{n}", 2))


def rush(lab):
    """Several come out of the machine at the same time."""
    for n in range(4):
        lab.jobs.known[f"j{n}"] = {"job": f"j{n}", "sheets": 1}
        lab.heard[f"j{n}"] = "accepted"
        lab.at(1.0, lab.hub.publish("accepted", {"job": f"j{n}"}))
    lab.asked = dict(lab.heard)


def slow(lab):
    """The machine is slow with some, and away for a moment at the beginning."""
    lab.hub.away["machine"] = 1.02
    for n in range(4):
        job = f"s{n}" if n % 2 else f"j{n}"
        lab.jobs.known[job] = {"job": job, "sheets": 1}
        lab.heard[job] = "accepted"
        lab.at(1.0 + 8.0 * n, lab.hub.publish("accepted", {"job": job}))
    lab.asked = dict(lab.heard)


def main():
    gc.disable()
    logging.disable(logging.CRITICAL)
    wrong = Counter()
    for play in (cash, evening, rush, slow):
        for number in range(1, 4):
            try:
                lab = Lab(number, slow={"s1", "s3"})
                play(lab)
                lab.audit(wrong)
            except Exception as error:
                print(f"{play.__name__} {number}: {error!r}")
                wrong["a night could not be played"] += 25
            finally:
                asyncio._set_running_loop(None)
    for kind in sorted(kind for kind, count in wrong.items() if count):
        print(f"{kind}: {wrong[kind]}")
    print(f"{sum(wrong.values())} broken")
    return 1 if sum(wrong.values()) else 0


if __name__ == "__main__":
    if sys.version_info < (3, 11):
        newer = next(filter(None, (shutil.which(f"python3.{n}") for n in range(20, 10, -1))), None)
        if newer is None:
            sys.exit("Python 3.11 or later is needed")
        os.execv(newer, [newer, *sys.argv])
    sys.exit(main())
