"""Routes in the task file: what is wrong with them, and whose keys they need."""

from pathlib import Path

import pytest

from app.credentials import CredentialsError, provider_environ, providers_of
from app.taskfile import TaskFileError, load
from store.domain.route import Provider, parse
from store.domain.strategy import Strategy
from store.domain.task import Check, Task


def test_routes_that_lead_nowhere(tmp_path: Path) -> None:
    text = """[task]
goal = "g"
[check]
command = "c"
[[routes]]
model = "m"
deployments = ["openai/a@far"]
[[routes]]
model = "m"
deployments = []
fallbacks = ["gpt-5"]
[[routes]]
retries = -1
[[upstreams]]
name = "Far"
url = ""
protocol = "grpc"
key = "sk-live-1234"
[[upstreams]]
name = "anthropic"
url = "http://127.0.0.1:1"
"""
    file = tmp_path / "multitrack.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(TaskFileError) as caught:
        load(file)
    assert [(p.line, p.key, p.wrong) for p in caught.value.problems] == [
        (7, "routes.1.deployments", 'names the upstream "far"'),
        (9, "routes.2.model", '"m" is there twice'),
        (10, "routes.2.deployments", "is empty"),
        (11, "routes.2.fallbacks", "can't be read: 'gpt-5' is no deployment"),
        (12, "routes.3.model", "is missing"),
        (12, "routes.3.deployments", "is missing"),
        (13, "routes.3.retries", "is -1"),
        (15, "upstreams.1.name", 'is "Far"'),
        (16, "upstreams.1.url", 'is ""'),
        (17, "upstreams.1.protocol", 'is "grpc"'),
        (18, "upstreams.1.key", "is no variable's name"),
        (20, "upstreams.2.name", "is the run's own provider"),
    ]
    assert "sk-live-1234" not in str(caught.value)


def test_the_keys_of_all_who_may_be_asked_are_needed_and_no_others(tmp_path: Path) -> None:
    task = Task(
        goal="g",
        repository=".",
        check=Check("c"),
        model="claude-sonnet-5-5",
        strategies=(Strategy("s", "a", model="small"),),
        routes=(parse("claude-*=openai/a,openai/b@far"), parse("small=ollama_chat/q"), parse("other=gemini/g")),
        upstreams=(Provider("far", "https://far.example.org", key="FAR_KEY"),),
    )
    assert providers_of(task) == {"openai", "far", "ollama"}
    environ = {"MULTITRACK_HOME": str(tmp_path), "OPENAI_API_KEY": "sk-1", "FAR_KEY": "sk-2"}
    # No provider of the run's own is asked.
    assert provider_environ(environ, task) == environ
    with pytest.raises(CredentialsError, match="no key for far, which a route or the agent leads to: set FAR_KEY"):
        provider_environ({**environ, "FAR_KEY": " "}, task)
    (tmp_path / "credentials.toml").write_text('far = "sk-kept"\n', encoding="ascii")
    (tmp_path / "credentials.toml").chmod(0o600)
    assert provider_environ({**environ, "FAR_KEY": ""}, task)["FAR_KEY"] == "sk-kept"
