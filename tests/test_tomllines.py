"""On which line a key stands, however it is written; and values written as TOML."""

import json
import tomllib

from hypothesis import example, given
from hypothesis import strategies as st

from app.template import value
from app.tomllines import lines


def test_lines_of_every_way_to_write_a_key() -> None:
    source = (
        '''# a comment = with a sign
"quoted key" = """
x = 1
[not.a.table]"""
a.b . 'c' = [ # comment ]
  1, "]",
  { d = 2, e = [3,
     4] },
]
[t] # x
k = 'it'''
        """'
l = \"a \\" # no comment\"
[[many]]
n = 1
[many.sub]
o = 2
[[many]]
n = 3
[[many.inner]]
p = 4
[[many.inner]]
p = 5
"""
    )
    tomllib.loads(source)
    found = lines(source)
    assert found["quoted key",] == 2
    assert found["a", "b", "c"] == 5
    assert found["a", "b", "c", 1] == 6
    assert found["a", "b", "c", 2, "d"] == 7
    assert found["a", "b", "c", 2, "e", 1] == 8
    assert found["t",] == 10
    assert found["t", "k"] == 11
    assert found["t", "l"] == 12
    assert found["many", 0, "n"] == 14
    assert found["many", 0, "sub", "o"] == 16
    assert found["many", 1] == 17
    assert found["many", 1, "n"] == 18
    assert found["many", 1, "inner", 1, "p"] == 22


_words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_values = st.recursive(
    st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False) | _words,
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(_words, st.dictionaries(_words, _values, max_size=4), max_size=4))
def test_every_key_of_any_document_is_found_on_its_line(document: dict[str, dict[str, object]]) -> None:
    written_lines: list[str] = []
    expected: dict[tuple[str, ...], int] = {}

    def add(text: str, *path: str) -> None:
        expected[path] = sum(line.count("\n") + 1 for line in written_lines) + 1
        written_lines.append(text)

    for table, keys in document.items():
        add(f"[{_escaped(table)}]", table)
        for name, item in keys.items():
            add(f"{_escaped(name)} = {value(item)}", table, name)
    source = "\n".join(written_lines)
    assert set(tomllib.loads(source)) == set(document)
    found = lines(source)
    assert {path: found.get(path) for path in expected} == expected


def _escaped(name: str) -> str:
    return json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007f")


@given(_values)
@example("two\nlines")
@example('"""\n\\')
def test_a_written_value_is_read_back(item: object) -> None:
    assert tomllib.loads(f"key = {value(item)}")["key"] == item
