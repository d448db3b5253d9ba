"""Tool calls of other agents in our words, by what was seen of them on the wire."""

import pytest

from backends.observer.attempt import Said, Step
from store.domain.foreign import Exit, exit_of, gist, in_our_words

CODEX = "Chunk ID: 9d4bf0\nWall time: 0.0001 seconds\n"
PATCH = "*** Begin Patch\n*** Update File: a.py\n*** End Patch"


@pytest.mark.parametrize(
    ("name", "given", "ours"),
    [
        ("run", {"command": "ls", "seconds": 3}, ("run", {"command": "ls", "seconds": 3})),
        ("read", {"path": "a", "first": 2}, ("read", {"path": "a", "first": 2})),
        ("edit", {"path": "a", "old": "", "new": "b"}, ("edit", {"path": "a", "old": "", "new": "b"})),
        # Claude Code.
        ("Bash", {"command": "ls", "description": "look"}, ("run", {"command": "ls"})),
        ("Read", {"file_path": "/w/a"}, ("read", {"path": "/w/a"})),
        ("Edit", {"file_path": "/w/a", "old_string": "x", "new_string": "y", "replace_all": False},
         ("edit", {"path": "/w/a", "old": "x", "new": "y"})),
        ("Write", {"file_path": "/w/a", "content": "x"}, ("write", {"path": "/w/a", "new": "x"})),
        ("Agent", {"prompt": "look"}, ("Agent", {"prompt": "look"})),
        # codex.
        ("exec_command", {"cmd": "ls"}, ("run", {"command": "ls"})),
        ("shell", {"command": ["bash", "-lc", "ls -l"]}, ("run", {"command": "ls -l"})),
        ("local_shell_call", {"command": ["ls", "-l"]}, ("run", {"command": "ls -l"})),
        ("apply_patch", {"input": PATCH}, ("write", {"path": "", "new": PATCH})),
        # mini-swe-agent, opencode.
        ("bash", {"command": "ls"}, ("run", {"command": "ls"})),
        ("edit", {"filePath": "/w/a", "oldString": "x", "newString": "y"},
         ("edit", {"path": "/w/a", "old": "x", "new": "y"})),
        ("bash", {}, ("bash", {})),
        ("mcp__shell__bash", {"command": "ls"}, ("run", {"command": "ls"})),
    ],
)  # fmt: skip
def test_in_our_words(name: str, given: dict[str, object], ours: tuple[str, dict[str, object]]) -> None:
    assert in_our_words(name, given) == ours


@pytest.mark.parametrize(
    ("tool", "text", "ok", "code", "output"),
    [
        ("Bash", "Exit code 3\n41\n", False, 3, "41\n"),
        ("Bash", "41\n", True, 0, "41\n"),
        ("exec_command", f"{CODEX}Process exited with code 3\nOriginal token count: 1\nOutput:\n41\n", True, 3, "41\n"),
        ("bash", "<returncode>1</returncode>\n<output>\n41</output>", True, 1, "41</output>"),
        ("bash", '{\n  "returncode": 3,\n  "output": "41\\n"\n}', True, 3, '41\\n"\n}'),
        # opencode says nothing of it.
        ("bash", "41\n", True, None, ""),
        ("Bash", "Command timed out", False, None, ""),
        ("exec_command", "Chunk ID: 1\nProcess running with session ID 3\nOutput:\n", True, None, ""),
    ],
)  # fmt: skip
def test_how_a_command_ended(tool: str, text: str, ok: bool, code: int | None, output: str) -> None:
    found = exit_of(tool, text, ok)
    assert found == (None if code is None else Exit(code, len(text) - len(output)))
    step = Step("run", {"command": "x"}, Said("", 1), Said(text, 1), ok, tool=tool)
    # The observer reads it without what an agent wraps around it.
    bare = "41\n" if 'returncode"' in text else output.removesuffix("</output>")
    assert (None if step.ran is None else (step.ran.exit_code, step.ran.output)) == (
        None if code is None else (code, bare)
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"command": "ls", "description": "look"}, "ls"),
        ({"file_path": "/w/a", "old_string": "x"}, "/w/a"),
        ({"description": "look", "prompt": "very long"}, "look"),
        ({"x": "a", "y": "long"}, "long"),
        ({"n": 1}, '{"n": 1}'),
        ({}, ""),
        (None, ""),
        ("text", "text"),
    ],
)
def test_what_a_call_does_in_a_line(given: object, said: str) -> None:
    assert gist("tool", given) == said
