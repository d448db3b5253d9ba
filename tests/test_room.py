import asyncio

from backends.proxy.room import Room


class Answer:
    """Takes room piece by piece, as the relay does."""

    def __init__(self, room: Room, pieces: list[int]) -> None:
        self.room = room
        self.pieces = pieces
        self.took = 0

    async def run(self) -> None:
        try:
            for size in self.pieces:
                self.room.take(self, size)
                self.took += size
                if self.room.full:
                    await self.room.wait(self)
                await asyncio.sleep(0)
        finally:
            self.room.leave(self)


async def test_there_is_room_for_all_at_first() -> None:
    room = Room(100)
    answers = [Answer(room, [10, 10]) for _ in range(5)]
    await asyncio.gather(*(answer.run() for answer in answers))
    assert not room.full


async def test_when_there_is_none_one_goes_on_and_the_others_wait_for_what_it_leaves() -> None:
    room = Room(100)
    most = 0

    async def watched(answer: Answer) -> None:
        nonlocal most
        await answer.run()

    answers = [Answer(room, [10] * 20) for _ in range(10)]
    tasks = [asyncio.create_task(watched(answer)) for answer in answers]
    while not all(task.done() for task in tasks):
        most = max(most, sum(answer.took for answer, task in zip(answers, tasks, strict=True) if not task.done()))
        await asyncio.sleep(0)
    assert all(answer.took == 200 for answer in answers)
    # What there is room for, the one that goes on, and the piece that made each of the others wait.
    assert 100 < most <= 100 + 200 + 10 * 10
    assert not room.full


async def test_one_alone_never_waits() -> None:
    room = Room(5)
    await asyncio.wait_for(Answer(room, [100, 100, 100]).run(), 30)


async def test_who_is_cancelled_while_waiting_leaves_its_room() -> None:
    room = Room(100)
    first, second = Answer(room, [90, 5]), Answer(room, [60, 60])
    one = asyncio.create_task(first.run())
    two = asyncio.create_task(second.run())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    two.cancel()
    await asyncio.gather(one, two, return_exceptions=True)
    assert first.took == 95 and not room.full
    await asyncio.wait_for(Answer(room, [200]).run(), 30)


async def test_when_the_one_that_goes_on_is_gone_another_does() -> None:
    room = Room(100)
    stalls, waits = Answer(room, []), Answer(room, [50, 50])
    room.take(stalls, 90)
    task = asyncio.create_task(waits.run())
    for _ in range(5):
        await asyncio.sleep(0)
    assert room.full and not task.done()
    room.leave(stalls)
    await asyncio.wait_for(task, 30)
    assert waits.took == 100
