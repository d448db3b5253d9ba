"""What the subagents of the recorded runs say and do: turns that show every kind of thing that screens draw."""

import json
from dataclasses import dataclass
from typing import Any

REQUEST: dict[str, Any] = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 8192,
    "stream": True,
    "system": [{"type": "text", "text": "# Role\n\nYou are a subagent.\n\n# Goal\n\nMake the check pass."}],
    "tools": [{"name": "run", "description": "Run a command.", "input_schema": {"type": "object"}}],
}


@dataclass(frozen=True)
class Step:
    """One turn: what it thinks, says, and does, and what comes back."""

    thinking: str
    text: str
    name: str
    summary: str
    input: dict[str, Any]
    ok: bool
    result: str

    def answer(self, tool: str) -> dict[str, Any]:
        """The assistant's message."""
        content: list[dict[str, Any]] = []
        if self.thinking:
            content.append({"type": "thinking", "thinking": self.thinking, "signature": "sig"})
        if self.text:
            content.append({"type": "text", "text": self.text})
        content.append({"type": "tool_use", "id": tool, "name": self.name, "input": self.input})
        return {"role": "assistant", "content": content}

    def reply(self, tool: str) -> dict[str, Any]:
        """The message with the tool's result."""
        block: dict[str, Any] = {
            "type": "tool_result",
            "tool_use_id": tool,
            "content": [{"type": "text", "text": self.result}],
        }
        return {"role": "user", "content": [block if self.ok else {**block, "is_error": True}]}


OLD = """\
    async def reserve(self, order):
        held = self.count
        await self.log(order)
        self.count = held - 1
"""
NEW = """\
    async def reserve(self, order):
        async with self._lock:
            held = self.count
            await self.log(order)
            self.count = held - 1
"""

PATCH = """\
diff --git a/shop/stock.py b/shop/stock.py
--- a/shop/stock.py
+++ b/shop/stock.py
@@ -38,6 +38,7 @@ class Stock:
     async def reserve(self, order):
-        held = self.count
-        await self.log(order)
-        self.count = held - 1
+        async with self._lock:
+            held = self.count
+            await self.log(order)
+            self.count = held - 1
"""

STEPS = (
    Step(
        "The counts are off by exactly the number of concurrent requests, so a read and a write are separated by an "
        "await. I should look where the stock is counted.",
        "I'll read how stock is reserved.",
        "read",
        "read shop/stock.py 36-44",
        {"path": "shop/stock.py", "first": 36, "last": 44},
        True,
        '(lines 36 to 44 of 212)\n    36\tclass Stock:\n    37\t    """Counts what is left."""\n    38\t\n'
        "    39\t    async def reserve(self, order):\n    40\t        held = self.count\n"
        "    41\t        await self.log(order)\n    42\t        self.count = held - 1\n    43\t\n    44\t",
    ),
    Step(
        "",
        "Who else changes the count without a lock?",
        "search",
        "search 'self.count' in shop",
        {"pattern": "self\\.count", "path": "shop"},
        True,
        "shop/stock.py:40: held = self.count\nshop/stock.py:42: self.count = held - 1\nshop/pay.py:88: self.count += 1",
    ),
    Step(
        "Between line 40 and 42 another task may run. That is a lost update; the usual repair is a lock around both, "
        "or an atomic decrement.",
        "",
        "edit",
        "edit shop/stock.py (+3 −2)",
        {"path": "shop/stock.py", "old": OLD, "new": NEW},
        True,
        "edited shop/stock.py (+3 −2 lines)",
    ),
    Step(
        "",
        "Now the check.",
        "run",
        "run python check.py",
        {"command": "python check.py 2>&1 | tail -20"},
        True,
        "exit code 1\n\x1b[31moversold\x1b[0m: 2 of 50 schedules\ndouble charge: 3 of 50 schedules\n2 broken",
    ),
    Step(
        "Oversold went from 7 to 2, so the lock matters and is not enough. The double charge has another cause: "
        "perhaps the retry in pay.py is not idempotent.",
        "The lock helped, but **double charge** stays. Next: `shop/pay.py`.",
        "run",
        "run python -m shop.pay --trace",
        {"command": "python -m shop.pay --trace"},
        False,
        'exit code 1\nTraceback (most recent call last):\n  File "shop/pay.py", line 88, in charge\n'
        '    await self.bank.debit(order.total)\n  File "shop/bank.py", line 31, in debit\n'
        '    raise Timeout(f"no answer in {limit}s")\nshop.bank.Timeout: no answer in 0.5s',
    ),
)


def step(lane: int, turn: int) -> Step:
    """What a lane does in a turn."""
    return STEPS[(turn - 1 + 2 * (lane - 1)) % len(STEPS)]


def stream(answer: dict[str, Any]) -> bytes:
    """A response as the provider would have streamed it, in short."""
    events = [("message_start", {"type": "message_start"})]
    for index, block in enumerate(answer["content"]):
        kind = {"type": "content_block_start", "index": index, "content_block": block}
        events.append(("content_block_start", kind))
    events.append(("message_stop", {"type": "message_stop"}))
    return "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events).encode()
