"""What models cost their operator, in the task file."""

from pathlib import Path

import pytest

from app.taskfile import TaskFileError, load
from store.domain.codec import decode, encode
from store.domain.own_price import OwnPrice, by_model, parse
from store.domain.task import Task

HEAD = '[task]\ngoal = "g"\n[check]\ncommand = "c"\n'


def test_prices_are_read_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "multitrack.toml"
    file.write_text(
        f'{HEAD}[[prices]]\nmodel = "qwen3:8b"\ninput = 0.1\noutput = 1\n'
        '[[prices]]\nmodel = "local"\ninput = 0\noutput = 0\ncache_read = 2\ncache_write = 3\n'
    )
    task = load(file)
    assert task.prices == (OwnPrice("qwen3:8b", 0.1, 1.0), OwnPrice("local", 0.0, 0.0, 2.0, 3.0))
    assert by_model(task.prices) == {"qwen3:8b": (0.1, 1.0, 0.1, 0.1), "local": (0.0, 0.0, 2.0, 3.0)}
    # A run's order is kept as JSON; one of before there were prices has none.
    kept = encode(task)
    assert decode(Task, kept) == task
    del kept["prices"]
    assert decode(Task, kept).prices == ()


def test_prices_that_are_none(tmp_path: Path) -> None:
    file = tmp_path / "multitrack.toml"
    file.write_text(
        f'{HEAD}[[prices]]\nmodel = "m"\ninput = -1\n[[prices]]\nmodel = "m"\ninput = 1\noutput = "free"\nprice = 1\n'
    )
    with pytest.raises(TaskFileError) as caught:
        load(file)
    assert [(p.line, p.key, p.wrong) for p in caught.value.problems] == [
        (5, "prices.1.output", "is missing"),
        (7, "prices.1.input", "is -1"),
        (9, "prices.2.model", '"m" is there twice'),
        (11, "prices.2.output", 'is "free"'),
        (12, "prices.2.price", "is unknown"),
    ]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("m=1,2", (1.0, 2.0, 1.0, 1.0)),
        ("m = 1, 2, 0.5", (1.0, 2.0, 0.5, 1.0)),
        ("anthropic/m=1,2,0.5,3", (1.0, 2.0, 0.5, 3.0)),
    ],
)
def test_a_price_on_the_command_line(text: str, numbers: tuple[float, ...]) -> None:
    assert parse(text).numbers == numbers and parse(text).model == text.partition("=")[0].strip()
