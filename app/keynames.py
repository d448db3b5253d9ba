"""Keys by the names that people write, and by Textual's."""

import re

_WRITTEN = {
    "question_mark": "?",
    "plus": "+",
    "slash": "/",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "left_curly_bracket": "{",
    "right_curly_bracket": "}",
    "escape": "esc",
    "full_stop": ".",
    "comma": ",",
    "greater_than_sign": ">",
    "less_than_sign": "<",
    "minus": "-",
    "equals_sign": "=",
    "apostrophe": "'",
    "quotation_mark": '"',
    "semicolon": ";",
    "colon": ":",
    "exclamation_mark": "!",
    "at": "@",
    "number_sign": "#",
    "dollar_sign": "$",
    "percent_sign": "%",
    "circumflex_accent": "^",
    "ampersand": "&",
    "asterisk": "*",
    "left_parenthesis": "(",
    "right_parenthesis": ")",
    "underscore": "_",
    "backslash": "\\",
    "vertical_line": "|",
    "tilde": "~",
    "grave_accent": "`",
}
_NAMED = {
    *("enter", "escape", "space", "tab", "backspace", "delete", "insert", "home", "end", "pageup", "pagedown"),
    *("up", "down", "left", "right", *(f"f{number}" for number in range(1, 13))),
}
_TEXTUAL = {written: name for name, written in _WRITTEN.items()}
_MODIFIED = re.compile(r"(ctrl|alt|shift)\+(.+)")

TAKEN = {
    "ctrl+i": "terminals send tab for it",
    "ctrl+m": "terminals send enter for it",
    "ctrl+enter": "terminals send enter for it",
    "ctrl+b": "tmux takes it",
    "ctrl+a": "screen takes it",
    "ctrl+q": "terminals take it to go on after ctrl+s",
    "ctrl+c": "it copies what the mouse has marked",
    "ctrl+z": "shells take it",
    **dict.fromkeys(("up", "down", "left", "right", "tab", "shift+tab"), "it moves about"),
    **dict.fromkeys(("home", "end", "pageup", "pagedown", "j", "k"), "it moves about"),
}
"""Keys that no action may have, and why."""


def written(key: str) -> str:
    """A Textual key name as people write it."""
    return _WRITTEN.get(key, key)


def textual(text: str) -> str:
    """The Textual name of a key that somebody wrote: a character, a name as `f5` or `pageup`, `ctrl+…`, `alt+…` or
    `shift+…` of these. "" for what is no key."""
    text = text.strip() if len(text) > 1 else "space" if text == " " else text
    if match := _MODIFIED.fullmatch(text.lower()):
        base = textual(match[2])
        return f"{match[1]}+{base}" if base else ""
    if len(text) == 1:
        return text if text.isalnum() else _TEXTUAL.get(text, "")
    name = text.lower()
    return _TEXTUAL.get(name) or (name if name in _WRITTEN or name in _NAMED else "")
