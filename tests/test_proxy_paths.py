"""Which provider a path goes to, and which path is left for it."""

import pytest

from backends.proxy.routes import KNOWN, PROTOCOLS, Upstream, find

HOSTED = {name: known for name, known in KNOWN.items() if known.keys}
ALL = {name: Upstream(known.base_url, protocol=known.protocol) for name, known in HOSTED.items()}


@pytest.mark.parametrize(
    ("path", "provider", "left"),
    [
        # By name.
        ("/anthropic/v1/messages", "anthropic", "/v1/messages"),
        ("/openai/v1/chat/completions", "openai", "/v1/chat/completions"),
        ("/gemini/v1beta/models/g:generateContent", "gemini", "/v1beta/models/g:generateContent"),
        ("/openai/v1/messages", "openai", "/v1/messages"),
        ("/openai/openai/deployments/mine/chat/completions", "openai", "/openai/deployments/mine/chat/completions"),
        # A client that is given no more than the name, and one that leaves the version to the address.
        ("/anthropic", "anthropic", "/"),
        ("/gemini/", "gemini", "/"),
        ("/anthropic/messages", "anthropic", "/v1/messages"),
        ("/anthropic/messages/count_tokens", "anthropic", "/v1/messages/count_tokens"),
        ("/anthropic/messages/batches", "anthropic", "/messages/batches"),
        ("/openai/messages", "openai", "/messages"),
        # By shape.
        ("/v1/messages", "anthropic", "/v1/messages"),
        ("/v1/messages/count_tokens", "anthropic", "/v1/messages/count_tokens"),
        ("/v1/chat/completions", "openai", "/v1/chat/completions"),
        ("/chat/completions", "openai", "/chat/completions"),
        ("/v1/responses", "openai", "/v1/responses"),
        ("/v1/responses/resp_1", "openai", "/v1/responses/resp_1"),
        ("/v1/embeddings", "openai", "/v1/embeddings"),
        ("/openai/deployments/mine/chat/completions", "openai", "/openai/deployments/mine/chat/completions"),
        ("/v1beta/models/g:streamGenerateContent", "gemini", "/v1beta/models/g:streamGenerateContent"),
        ("/v1/models/g:generateContent", "gemini", "/v1/models/g:generateContent"),
        ("/v1beta/cachedContents", "gemini", "/v1beta/cachedContents"),
        ("/upload/v1beta/files", "gemini", "/upload/v1beta/files"),
        # By neither.
        ("/v1/models", "anthropic", "/v1/models"),
        ("/v1/files", "anthropic", "/v1/files"),
        ("/", "anthropic", "/"),
        ("/somebody/v1/messages", "anthropic", "/somebody/v1/messages"),
    ],
)
def test_a_path_goes_to_the_provider_it_names_or_to_the_one_that_speaks_so(path: str, provider: str, left: str) -> None:
    route = find(ALL, path)
    assert (route.provider, route.path) == (provider, left)
    assert route.url("a=1") == f"{KNOWN[provider].base_url}{left}?a=1"


@pytest.mark.parametrize(
    ("base", "path", "asked"),
    [
        ("https://api.example.org", "/v1/models", "https://api.example.org/v1/models"),
        ("https://api.example.org/api/v1", "/v1/models", "https://api.example.org/api/v1/models"),
        ("https://api.example.org/api/v1/", "/v1/models", "https://api.example.org/api/v1/models"),
        ("https://api.example.org/api/v1", "/models", "https://api.example.org/api/v1/models"),
        ("https://api.example.org/api/v1", "/v1beta/models", "https://api.example.org/api/v1/v1beta/models"),
        ("https://api.example.org/v1beta", "/v1beta/models", "https://api.example.org/v1beta/models"),
        ("https://api.example.org/paas/v4", "/v4/models", "https://api.example.org/paas/v4/models"),
        ("https://api.example.org/x/v1/gateway", "/v1/models", "https://api.example.org/x/v1/gateway/v1/models"),
    ],
)
def test_a_version_that_an_address_ends_with_is_not_said_twice(base: str, path: str, asked: str) -> None:
    """Most providers' base URLs are written with it."""
    assert find({"one": Upstream(base, protocol="openai")}, path).url("") == asked


def test_that_a_path_tells_nothing_is_known() -> None:
    assert find(ALL, "/v1/models").guessed and find(ALL, "/somebody/v1/messages").guessed
    assert not find(ALL, "/openai/v1/models").guessed and not find(ALL, "/v1/messages").guessed
    assert not find({"one": Upstream("http://127.0.0.1:9000")}, "/v1/models").guessed


def test_a_version_that_the_address_has_is_not_put_in() -> None:
    table = {"mine": Upstream("https://gateway.example/v1/")}
    assert find(table, "/mine/messages").url("") == "https://gateway.example/v1/messages"


def test_of_several_that_speak_so_the_first_is_asked() -> None:
    table = {
        "local": Upstream("http://127.0.0.1:8000", protocol="openai"),
        "openai": Upstream("https://api.openai.com", protocol="openai"),
        "anthropic": Upstream("https://api.anthropic.com"),
    }
    assert find(table, "/v1/chat/completions").provider == "local"
    assert find(table, "/v1/messages").provider == "anthropic"
    # Azure has the same under other paths, and with another header for its key.
    table["mine"] = Upstream("https://mine.openai.azure.com", protocol="azure")
    assert find(table, "/openai/deployments/m/chat/completions?api-version=1").provider == "mine"
    assert find(table, "/v1/chat/completions").provider == "local"
    assert find({"mine": table["mine"]}, "/v1/responses").provider == "mine"
    assert find(table, "/mine/openai/v1/responses").path == "/openai/v1/responses"
    # One that nobody speaks goes to the first, which will say that it doesn't know it.
    assert find(table, "/v1beta/models/g:generateContent").provider == "local"


def test_the_known_providers_need_their_key_alone() -> None:
    assert {name: known.keys[0] for name, known in HOSTED.items()} == {
        "anthropic": "ANTHROPIC_API_KEY",
        "openai": "OPENAI_API_KEY",
        "gemini": "GEMINI_API_KEY",
    }
    assert all(known.protocol in PROTOCOLS for known in KNOWN.values())
    headers = [PROTOCOLS[known.protocol].credentials("real") for known in HOSTED.values()]
    assert headers == [[(b"x-api-key", b"real")], [(b"authorization", b"Bearer real")], [(b"x-goog-api-key", b"real")]]
