"""Prices agree with LiteLLM's own arithmetic, and an unknown model has none."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from backends.proxy import Extras, Prices
from store.domain.limits import Usage

MODELS = [
    "claude-haiku-4-5",
    "claude-sonnet-4-5-20250929",
    "claude-sonnet-4-6",
    "claude-opus-4-5",
    "claude-opus-4-8",
    "claude-sonnet-5",
    "claude-fable-5-1",
    "claude-haiku-5-5",
    "anthropic/claude-opus-5",
    "gpt-5",
    "gpt-4o-mini",
    "gpt-5.5",
    "gpt-4.1-2025-04-14",
    "gpt-audio",
    "o4-mini",
    "gemini/gemini-2.5-flash",
    "gemini/gemini-2.5-flash-image",
    "gemini/gemini-3.1-pro-preview",
    "text-embedding-3-small",
    "gemini/gemini-embedding-001",
    "vertex_ai/claude-sonnet-4-5",
    "gemini/gemini-2.5-pro",
    "deepseek/deepseek-chat",
]

CASES = [
    (Usage(1200, 340), Extras()),
    (Usage(30_000, 2_000, 90_000, 8_000), Extras()),
    (Usage(150_000, 5_000, 60_000, 4_000), Extras()),
    (Usage(300_000, 1), Extras()),
]

OTHERS_CASES = [
    (Usage(1_200, 900, 800, 0, 640), Extras()),
    (Usage(1_200, 900, 800, 0, 640), Extras(tier="flex")),
    (Usage(280_000, 900, 800, 0, 640), Extras(tier="priority")),
    (Usage(1_200, 900, 800, 0, 640), Extras(tier="default")),
    (Usage(1_200, 900, 0, 0, 100), Extras(audio_input=400, audio_output=300)),
    (Usage(1_200, 1_400), Extras(image_output=1_290)),
]

CLAUDE_CASES = [
    (Usage(10, 20, 1_000, 9_000), Extras(hour_cache=4_000)),
    (Usage(190_000, 20, 1_000, 19_000), Extras(hour_cache=4_000)),
    (Usage(1_000, 500), Extras(searches=3)),
    (Usage(1_000, 500, 200, 100), Extras(place="us")),
    (Usage(1_000, 500, 200, 100), Extras(speed="fast")),
]

ASK_LITELLM = """
import json, sys
import litellm
from litellm import ModelResponse
from litellm.types.utils import (
    CacheCreationTokenDetails, CompletionTokensDetailsWrapper, PromptTokensDetailsWrapper, ServerToolUse
)
answers = []
for model, usage, extras in json.load(sys.stdin):
    prompt = usage["input"] + usage["cache_read"] + usage["cache_write"]
    details = PromptTokensDetailsWrapper(
        cached_tokens=usage["cache_read"],
        cache_creation_tokens=usage["cache_write"],
        text_tokens=usage["input"] - extras["audio_input"],
        audio_tokens=extras["audio_input"],
        cache_creation_token_details=CacheCreationTokenDetails(
            ephemeral_5m_input_tokens=usage["cache_write"] - extras["hour_cache"],
            ephemeral_1h_input_tokens=extras["hour_cache"],
        ),
    )
    more = {}
    if usage["reasoning"] or extras["audio_output"] or extras["image_output"]:
        more["completion_tokens_details"] = CompletionTokensDetailsWrapper(
            reasoning_tokens=usage["reasoning"],
            audio_tokens=extras["audio_output"],
            image_tokens=extras["image_output"],
        )
    if extras["searches"]:
        more["server_tool_use"] = ServerToolUse(web_search_requests=extras["searches"])
    if extras["place"]:
        more["inference_geo"] = extras["place"]
    if extras["speed"]:
        more["speed"] = extras["speed"]
    used = litellm.Usage(
        prompt_tokens=prompt,
        completion_tokens=usage["output"],
        total_tokens=prompt + usage["output"],
        prompt_tokens_details=details,
        cache_read_input_tokens=usage["cache_read"],
        cache_creation_input_tokens=usage["cache_write"],
        **more,
    )
    tier = {"service_tier": extras["tier"]} if extras["tier"] else {}
    answers.append(litellm.completion_cost(ModelResponse(model=model, usage=used, **tier), model=model))
json.dump(answers, sys.stdout)
"""


def questions() -> list[tuple[str, Usage, Extras]]:
    claude = [model for model in MODELS if model.startswith(("claude", "anthropic/"))]
    return (
        [(model, *case) for model in MODELS for case in CASES]
        + [(model, *case) for model in claude for case in CLAUDE_CASES]
        + [(model, *case) for model in MODELS if model not in claude for case in OTHERS_CASES]
    )


def test_prices_agree_with_litellm() -> None:
    asked = [(model, vars(usage), vars(extras)) for model, usage, extras in questions()]
    done = subprocess.run(
        [sys.executable, "-c", ASK_LITELLM],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
    )
    prices = Prices.default()
    theirs = json.loads(done.stdout)
    ours = [prices.usd(*question) for question in questions()]
    differing = [
        (question, our, their)
        for question, our, their in zip(questions(), ours, theirs, strict=True)
        if our != pytest.approx(their, rel=1e-9)
    ]
    assert not differing
    assert min(theirs) > 0


def test_reading_prices_does_not_import_litellm() -> None:
    script = (
        "import sys; from backends.proxy import Prices; Prices.default().of('gpt-5'); print('litellm' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


MAP: dict[str, Any] = {
    "claude-x": {"input_cost_per_token": 3e-6, "output_cost_per_token": 15e-6},
    "anthropic/only-prefixed": {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6},
    "a-picture-model": {"output_cost_per_image": 0.04},
}


@pytest.mark.parametrize(
    "name", ["claude-x", "anthropic/claude-x", "claude-x-20270101", "claude-x-latest", "openrouter/anthropic/claude-x"]
)
def test_a_name_is_found_with_and_without_prefix_and_date(name: str) -> None:
    assert Prices(MAP).usd(name, Usage(1_000_000, 0)) == pytest.approx(3.0)


def test_a_bare_name_finds_an_entry_that_has_a_prefix() -> None:
    assert Prices(MAP).usd("only-prefixed", Usage(0, 1_000_000)) == pytest.approx(2.0)


@pytest.mark.parametrize("name", ["", "claude-y", "a-picture-model", "scripted-debugger", "-20270101"])
def test_an_unknown_model_has_no_price(name: str) -> None:
    assert Prices(MAP).usd(name, Usage(1_000, 1_000)) is None


def test_a_model_that_answers_under_another_name_costs_what_that_one_does() -> None:
    entries = {**MAP, "dear-2024-05-13": {"input_cost_per_token": 5e-6}, "dear": {"input_cost_per_token": 2e-6}}
    prices = Prices(entries)
    usage = Usage(1_000_000)
    asked = {("dear-2024-05-13", "dear"): 5.0, ("dear-2025-01-01", "dear"): 2.0, ("", "dear"): 2.0}
    for names, usd in asked.items():
        price = prices.of(*names)
        assert price is not None and price.usd(usage) == pytest.approx(usd)
    # What the operator has priced was asked for by that name.
    own = prices.with_own({"dear": (1.0, 1.0)}).of("dear-2024-05-13", "dear")
    assert own is not None and own.usd(usage) == pytest.approx(1.0)
    assert prices.of("router/auto", "nobody-knows") is None


def test_the_provider_s_own_price_comes_first() -> None:
    prices = Prices({"x": {"input_cost_per_token": 1e-6}, "gemini/x": {"input_cost_per_token": 2e-6}})
    assert prices.usd("x", Usage(1_000_000)) == pytest.approx(1.0)
    assert prices.usd("x", Usage(1_000_000), provider="gemini") == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("model", "usd"), [("gpt-5", 0.03), ("gemini-2.5-pro", 0.035), ("gemini/gemini-3.1-pro-preview", 3 * 0.014)]
)
def test_searches_cost_by_the_search_or_by_the_answer(model: str, usd: float) -> None:
    assert Prices.default().usd(model, Usage(), Extras(searches=3)) == pytest.approx(usd)


def test_cache_tokens_without_a_price_cost_what_input_costs() -> None:
    assert Prices(MAP).usd("claude-x", Usage(0, 0, 1_000_000, 1_000_000)) == pytest.approx(6.0)


def test_an_operators_own_prices_win() -> None:
    prices = Prices(MAP).with_own({"scripted-debugger": (1.0, 5.0), "claude-x": (1.0, 2.0, 0.1, 1.25)})
    assert prices.usd("scripted-debugger", Usage(1_000_000, 1_000_000, 1_000_000)) == pytest.approx(7.0)
    assert prices.usd("claude-x", Usage(1_000_000, 1_000_000, 1_000_000, 1_000_000)) == pytest.approx(4.35)
    assert prices.usd("only-prefixed", Usage(1_000_000)) == pytest.approx(1.0)


@pytest.mark.parametrize("numbers", [(), (1.0,), (1.0, 2.0, 3.0, 4.0, 5.0), (1.0, -1.0)])
def test_own_prices_that_make_no_sense_are_refused(numbers: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="'mine'"):
        Prices(MAP).with_own({"mine": numbers})
