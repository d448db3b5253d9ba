"""How often each stuck rule speaks on recorded conversations, on those that were solved and on those that failed.

    python -m bench.stuck FILE

The file is JSON: an array of objects with `traj` (or `messages`), a conversation in OpenAI's format, and `reward`, 1.0
for solved.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from store.domain.blocks import Block, BlockKind, blocks
from store.domain.foreign import in_our_words
from store.domain.stuck import Watcher
from store.domain.stuck.facts import Answered, Fact, Told, Used


def facts(conversation: list[dict[str, Any]]) -> Iterator[Fact]:
    """What the rules are told of a conversation."""
    asked: dict[str, Block] = {}
    turn = 0
    for seq, message in enumerate(conversation, 1):
        parts = blocks(message)
        if message["role"] == "assistant":
            turn += 1
            calls = [part for part in parts if part.kind is BlockKind.TOOL_CALL]
            asked.update((call.id, call) for call in calls)
            words = "\n".join(part.text for part in parts if part.kind is BlockKind.TEXT)
            yield Answered(seq=seq, turn=turn, text=words, tools=len(calls))
        elif message["role"] == "user":
            yield Told(seq=seq, turn=turn)
        for part in parts:
            if part.kind is BlockKind.TOOL_RESULT and (call := asked.pop(part.id, None)) is not None:
                given = call.input if isinstance(call.input, dict) else {}
                name, ours = in_our_words(call.name, given)
                tool = "" if ours is given else call.name
                yield Used(
                    seq=seq, turn=turn, name=name, given=ours, text=part.text, ok=part.ok is not False, tool=tool
                )


def main(arguments: list[str]) -> int:
    """Print the table."""
    if not arguments:
        print(__doc__)
        return 0
    runs = json.loads(Path(arguments[0]).read_text("utf-8"))
    spoke: Counter[tuple[str, str, bool]] = Counter()
    for run in runs:
        watcher = Watcher()
        told = {
            (alert.rule, str(alert.level))
            for fact in facts(run.get("traj") or run["messages"])
            for alert in watcher.take(fact)
        }
        spoke.update((*one, run["reward"] == 1) for one in told)
    solved = sum(run["reward"] == 1 for run in runs)
    print(f"{'rule':<18}{'level':<10}{f'failed of {len(runs) - solved}':>16}{f'solved of {solved}':>16}")
    for rule, level in sorted({one[:2] for one in spoke}):
        print(f"{rule:<18}{level:<10}{spoke[rule, level, False]:>16}{spoke[rule, level, True]:>16}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
