"""Whole runs in one process: with memory generations converge, without they don't, whatever the task and its names."""

import pytest

from backends.practice import other_memory
from tests import rehearsal
from tests.rehearsal import LANES, Bench, Generation, Rehearsal

MEMORY = LANES - 1
SEEDS = range(1, 11)


@pytest.fixture(scope="module", params=["one", "two", "renamed:1"])
def bench(request: pytest.FixtureRequest) -> Bench:
    return rehearsal.bench(request.param)


def run(bench: Bench, seed: int, memory: str = "own", turns: int = 11) -> list[Generation]:
    return Rehearsal(bench, seed, memory, turns).run()


def test_generations_converge_with_memory(bench: Bench) -> None:
    generations = run(bench, 1)
    assert generations[0].solved == 0
    assert generations[-1].solved >= MEMORY - 1
    assert generations[0].observations < generations[1].observations <= generations[-1].observations
    assert sum(each.clean_solved for each in generations) == 0
    assert generations[0].recalls == 0
    if bench.task.name == "one":
        assert any(each.recalls for each in generations[1:]), "edits that are cut in the prompt are looked up"


def test_generations_do_not_converge_without_memory(bench: Bench) -> None:
    assert run(bench, 2, "none")[-1].solved <= 1


def test_memory_of_another_task_is_of_no_use() -> None:
    assert run(rehearsal.bench("one"), 2, other_memory().text)[-1].solved <= 1


@pytest.mark.soak
@pytest.mark.parametrize("turns", [11, 12, 14])
def test_ten_seeds_with_memory(bench: Bench, turns: int) -> None:
    runs = [run(bench, seed, turns=turns) for seed in SEEDS]
    assert all(generations[0].solved == 0 for generations in runs)
    assert all(generations[-1].solved >= MEMORY - 1 for generations in runs)
    assert sum(generations[-1].solved == MEMORY for generations in runs) > len(SEEDS) / 2
    assert all(generations[0].observations < generations[-1].observations for generations in runs)


@pytest.mark.soak
@pytest.mark.parametrize("turns", [11, 12, 14])
def test_ten_seeds_without(bench: Bench, turns: int) -> None:
    for memory in ("none", *([other_memory().text] if bench.task.name != "two" else [])):
        last = [run(bench, seed, memory, turns)[-1].solved for seed in SEEDS]
        assert sum(solved <= 1 for solved in last) >= 9
