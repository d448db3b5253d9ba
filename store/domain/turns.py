"""What a Gemini model said in several contents or texts, as one.

Clients keep the chunks of a stream as they came, as contents of their own, or join their texts. The sizes of the pieces
tell how to take them apart again.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Turn = tuple[dict[str, Any], dict[str, Any] | None]
"""A content's kept form, and its overlay."""


def goes_on(item: Mapping[str, Any]) -> bool:
    """A Gemini content that may be one of several in which a model said one thing."""
    parts = item.get("parts", [])
    return item.get("role") == "model" and item.keys() <= {"role", "parts"} and isinstance(parts, list)


def merged(turns: Sequence[Turn]) -> Turn:
    """A model's contents as one, with texts that follow one another joined. The overlay then has `turns`: for each the
    sizes of its parts, and its own overlay."""
    every = [part for kept, _ in turns for part in kept.get("parts", ())]
    parts, sizes = joined(every)
    if len(turns) == 1 and len(parts) == len(every):
        return turns[0]
    marks, at = [], 0
    for kept, overlay in turns:
        count = len(kept.get("parts", ()))
        marks.append([sizes[at : at + count] if "parts" in kept else None, overlay])
        at += count
    return {"role": "model", "parts": parts}, {"turns": marks}


def separate(kept: Mapping[str, Any], marks: Sequence[Any]) -> Iterator[Turn]:
    """Back from `merged`."""
    part, at = 0, 0
    for sizes, overlay in marks:
        item = {name: value for name, value in kept.items() if name != "parts"}
        if sizes is not None:
            item["parts"] = []
            for size in sizes:
                whole = kept["parts"][part]
                if size is None:
                    item["parts"].append(whole)
                    part += 1
                    continue
                item["parts"].append({**whole, "text": whole["text"][at : at + size]})
                at += size
                if at == len(whole["text"]):
                    part, at = part + 1, 0
        yield item, overlay


def joined(parts: Sequence[Any]) -> tuple[list[Any], list[int | None]]:
    """Parts with texts that follow one another joined, and the size of each that was."""
    joined: list[Any] = []
    groups: list[list[Any]] = []
    for part in parts:
        if groups and _is_text(part) and _is_text(groups[-1][-1]) and is_thought(part) == is_thought(groups[-1][-1]):
            groups[-1].append(part)
        else:
            groups.append([part])
    sizes: list[int | None] = []
    for group in groups:
        if len(group) == 1:
            joined.append(group[0])
            sizes.append(None)
        else:
            joined.append({**group[0], "text": "".join(part["text"] for part in group)})
            sizes += [len(part["text"]) for part in group]
    return joined, sizes


def is_thought(part: Any) -> bool:
    return isinstance(part, dict) and part.get("thought") is True


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.keys() <= {"text", "thought"} and isinstance(part.get("text"), str)
