"""Runs the services in one process, on a simulated network and a clock of its own, and counts what does not add up.

Which message overtakes which is forced, by delays that depend on the schedule's number and on the message alone. So
the count is the same on every run and every machine. Exit code 0: nothing is broken.
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

from teashop.bank import DROPPING_CARD, SLOW_CARD, Bank
from teashop.gateway import Gateway
from teashop.journal import Journal
from teashop.ledger import Ledger
from teashop.notifier import Notifier
from teashop.orders import Orders
from teashop.payments import Payments
from teashop.stock import Stock
from teashop.tariff import PRICES, Tariff
from teashop.transport import Dropped, Refused, Unavailable

GOOD_CARD = "4000-0001"
PATIENCE = 2.0  # seconds until a customer closes the page
HORIZON = 25.0  # seconds after which everything must have come to rest
STEPS = 20_000  # a schedule that needs more of them goes round in circles


class Clock(asyncio.AbstractEventLoop):
    """An event loop whose time moves only when there is nothing left to do at the present instant."""

    def __init__(self, number):
        self.number = number
        self.now = 0.0
        self.ready = deque()
        self.timers = []
        self.order = itertools.count()
        self.complaints = []

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

    call_soon_threadsafe = call_soon

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
        self.call_later(0.002 + self.delay(repr(args)), self.finish, done, function, args)
        return done

    def finish(self, done, function, args):
        if done.cancelled():
            return
        try:
            done.set_result(function(*args))
        except Exception as error:
            done.set_exception(error)

    def call_exception_handler(self, context):
        self.complaints.append(context)

    def delay(self, what):
        """Between 1 and 20 ms, by the schedule's number and what it is for."""
        return 0.001 * (1 + zlib.crc32(f"{self.number}:{what}".encode()) % 20)

    def run(self, until, steps):
        """Run to an instant; whether it got there within so many steps."""
        asyncio._set_running_loop(self)
        try:
            while steps > 0:
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
                steps -= 1
            return False
        finally:
            asyncio._set_running_loop(None)

    def shut(self):
        """Cancel what is left over."""
        for task in asyncio.all_tasks(self):
            task.cancel()
        self.run(self.now, STEPS)


class Wires:
    """The network: every message takes its time, and a service that is away can't be reached."""

    def __init__(self, clock):
        self.clock = clock
        self.services = {}
        self.away = {}
        self.copies = Counter()
        self.busy = 0
        self.crashed = []

    async def call(self, service, operation, body, timeout):
        sent = json.dumps(body)
        what = f"{service}.{operation}.{body.get('order')}"
        self.copies[what] += 1
        what = f"{what}.{self.copies[what]}"
        answer = self.clock.create_future()
        self.clock.call_later(self.clock.delay(what), self.arrive, service, operation, sent, what, answer)
        deadline = self.clock.call_later(timeout, self.expire, answer)
        try:
            return await answer
        finally:
            deadline.cancel()

    def expire(self, answer):
        if not answer.done():
            answer.set_exception(TimeoutError())

    def arrive(self, service, operation, sent, what, answer):
        if self.clock.now < self.away.get(service, 0.0):
            self.reply(answer, None, Unavailable(f"{service}: connection refused"))
        else:
            self.clock.create_task(self.serve(self.services[service], operation, json.loads(sent), what, answer))

    async def serve(self, service, operation, body, what, answer):
        self.busy += 1
        result, error = None, None
        try:
            result = json.loads(json.dumps(await service.handle(operation, body)))
        except Dropped:
            error = Unavailable(f"{service.name} hung up")
        except (TimeoutError, Unavailable, Refused) as failure:
            error = Refused(repr(failure))
        except Exception as failure:
            self.crashed.append(f"{service.name}.{operation}: {failure!r}")
            error = Refused(repr(failure))
        finally:
            self.busy -= 1
        self.clock.call_later(self.clock.delay(what + " back"), self.reply, answer, result, error)

    def reply(self, answer, result, error):
        if answer.done():
            return
        if error is None:
            answer.set_result(result)
        else:
            answer.set_exception(error)


class Shop:
    """All the services, and customers who come at given times."""

    def __init__(self, number, units, capacity=64):
        self.clock = Clock(number)
        self.wires = wires = Wires(self.clock)
        self.units = units
        self.baskets = {}
        self.told = {}
        self.counter = []
        asyncio._set_running_loop(self.clock)
        self.gateway = Gateway(wires, capacity)
        self.orders = Orders(wires)
        self.stock = Stock(wires, Journal(), units, Tariff())
        self.payments = Payments(wires, Journal())
        self.bank = Bank(wires)
        self.ledger = Ledger(wires, Journal())
        self.notifier = Notifier(wires)
        self.all = [self.gateway, self.orders, self.stock, self.payments, self.bank, self.ledger, self.notifier]
        wires.services = {service.name: service for service in self.all}
        for service in self.all:
            self.clock.create_task(service.start())

    def customer(self, at, sku, quantity=1, card=GOOD_CARD):
        order = f"{self.clock.number}-{len(self.baskets) + 1}"
        self.baskets[order] = {"order": order, "sku": sku, "quantity": quantity, "card": card}
        self.clock.call_at(at, lambda: self.clock.create_task(self.buy(order)))

    def at_the_counter(self, at, amount):
        """A sale in the shop itself: only the card is charged here."""
        order = f"{self.clock.number}-c{len(self.counter) + 1}"
        self.counter.append(amount)
        bill = {"order": order, "card": GOOD_CARD, "amount": amount}
        call = self.wires.call("payments", "charge", bill, 10.0)
        self.clock.call_at(at, lambda: self.clock.create_task(call))

    async def buy(self, order):
        try:
            answer = await self.wires.call("gateway", "checkout", self.baskets[order], PATIENCE)
            self.told[order] = answer["status"]
        except TimeoutError:
            self.told[order] = "nothing"
        except (Unavailable, Refused):
            self.told[order] = "error"

    def come_to_rest(self, broken):
        """Run everything, then see whether it stopped and nothing fell over."""
        rested = self.clock.run(HORIZON, STEPS)
        broken["left hanging"] += self.wires.busy + len(self.baskets) - len(self.told) + (not rested)
        broken["a service fell over"] += len(self.wires.crashed) + len(self.clock.complaints)
        for service in self.all:
            self.clock.create_task(service.stop())
        self.clock.run(HORIZON + 0.1, STEPS)

    def audit(self, broken, served=()):
        """Compare what customers were told with what the services know. `served` are orders that must go through."""
        status = self.orders.orders
        confirmed = {order for order in self.baskets if status.get(order) == "confirmed"}
        sold = Counter()
        for order in confirmed:
            sold[self.baskets[order]["sku"]] += self.baskets[order]["quantity"]
        money = Counter()
        for key, debit in self.bank.debits.items():
            if key not in self.bank.refunds:
                money[debit["order"]] += debit["amount"]
        for sku, units in self.units.items():
            broken["sold more than there was"] += max(0, sold[sku] - units)
            broken["the shelf does not add up"] += self.stock.units[sku] + sold[sku] != units
        for order, basket in self.baskets.items():
            told = self.told.get(order)
            due = PRICES[basket["sku"]] * basket["quantity"] if order in confirmed else 0
            broken["confirmed behind the customer's back"] += order in confirmed and told != "confirmed"
            broken["promised and not done"] += told == "confirmed" and order not in confirmed
            broken["charged too much"] += money[order] > due
            broken["not charged"] += money[order] < due
            broken["turned away from an empty shop"] += told == "busy"
            broken["a sale was lost"] += order in served and told not in ("confirmed", "busy")
        if self.counter:
            broken["takings are missing"] += (sum(self.counter) - self.payments.takings) // min(self.counter)
        broken["the books are wrong"] += len(confirmed ^ set(self.ledger.entries))
        broken["the books are wrong"] += sum(self.ledger.entries.values()) != sum(self.ledger.totals.values())
        broken["no receipt"] += len(confirmed - {mail["order"] for mail in self.notifier.sent})


def rush(number, broken):
    """Many want the last tins at the same time."""
    shop = Shop(number, {"sencha": 4, "assam": 50})
    for i in range(9):
        shop.customer(1.0 + 0.002 * i, "sencha")
    shop.customer(1.0, "assam")
    return shop, [order for order, basket in shop.baskets.items() if basket["sku"] == "assam"]


def slow_bank(number, broken):
    """The bank takes its time for some, and only for them."""
    shop = Shop(number, {"keemun": 50})
    for i in range(6):
        shop.customer(1.0 + 0.03 * i, "keemun", 1 + i % 2, SLOW_CARD if i % 2 else GOOD_CARD)
    return shop, [order for order, basket in shop.baskets.items() if basket["card"] == GOOD_CARD]


def lost_answers(number, broken):
    """The bank's answer is lost on its way for some."""
    shop = Shop(number, {"rooibos": 50})
    for i in range(6):
        shop.customer(1.0 + 0.03 * i, "rooibos", 1, DROPPING_CARD if i % 2 else GOOD_CARD)
    return shop, list(shop.baskets)


def restart(number, broken):
    """The orders service is away for a second; later the shop is quiet again."""
    shop = Shop(number, {"genmaicha": 50}, capacity=4)
    shop.wires.away["orders"] = 2.0
    for i in range(6):
        shop.customer(1.0 + 0.1 * i, "genmaicha")
    early = set(shop.baskets)
    for i in range(3):
        shop.customer(5.0 + 1.0 * i, "genmaicha")
    return shop, [order for order in shop.baskets if order not in early]


def counter(number, broken):
    """Cards are charged at the counter of the shop, many on a Saturday."""
    shop = Shop(number, {"assam": 50})
    for i in range(7):
        shop.at_the_counter(1.0 + 0.004 * i, 640)
    return shop, []


def main():
    gc.disable()
    logging.disable(logging.CRITICAL)
    broken = Counter()
    for situation, numbers in ((rush, 4), (slow_bank, 3), (lost_answers, 3), (restart, 3), (counter, 3)):
        for number in range(1, numbers + 1):
            try:
                shop, served = situation(number, broken)
                shop.come_to_rest(broken)
                shop.audit(broken, served)
                shop.clock.shut()
            except Exception as error:
                print(f"{situation.__name__} {number}: {error!r}")
                broken["could not be played through"] += 25
            finally:
                asyncio._set_running_loop(None)
    for kind in sorted(kind for kind, count in broken.items() if count):
        print(f"{kind}: {broken[kind]}")
    total = sum(broken.values())
    print(f"{total} broken")
    return 1 if total else 0


if __name__ == "__main__":
    if sys.version_info < (3, 11):
        newer = next(filter(None, (shutil.which(f"python3.{n}") for n in range(20, 10, -1))), None)
        if newer is None:
            sys.exit("Python 3.11 or later is needed")
        os.execv(newer, [newer, *sys.argv])
    sys.exit(main())
