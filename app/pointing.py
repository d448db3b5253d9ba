"""How a command's model clients are pointed at a recording proxy: by the variables that the SDKs and the agents read,
and by arguments or inline configuration where a tool reads none.

A variable that is set already says where its client asked so far: the proxy then asks there."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

HOSTS = ("127.0.0.1", "localhost")
"""What a client must not ask a proxy of the network for."""


@dataclass(frozen=True)
class Place:
    """A provider as clients know it: its address, the protocol that it speaks, and the variables that name its address,
    each with what the client expects at that address's end."""

    base_url: str
    protocol: str
    variables: tuple[tuple[str, str], ...]


KNOWN = {
    "anthropic": Place(
        "https://api.anthropic.com",
        "anthropic",
        # The SDKs and Claude Code; LiteLLM, and with it aider and mini-swe-agent; LangChain.
        (("ANTHROPIC_BASE_URL", ""), ("ANTHROPIC_API_BASE", ""), ("ANTHROPIC_API_URL", "")),
    ),
    "openai": Place(
        "https://api.openai.com",
        "openai",
        # The SDKs; the SDK before 1.0, LiteLLM, LangChain, aider.
        (("OPENAI_BASE_URL", "/v1"), ("OPENAI_API_BASE", "/v1")),
    ),
    "gemini": Place(
        "https://generativelanguage.googleapis.com",
        "gemini",
        # The SDKs and gemini-cli; LiteLLM.
        (("GOOGLE_GEMINI_BASE_URL", ""), ("GEMINI_API_BASE", "/v1beta")),
    ),
    "ollama": Place("http://127.0.0.1:11434", "ollama", (("OLLAMA_API_BASE", ""),)),
    "openrouter": Place("https://openrouter.ai/api", "openai", (("OPENROUTER_API_BASE", "/v1"),)),
}
"""The providers whose clients are pointed at the proxy in any case."""

FOLLOWED = {
    "azure": Place("", "azure", (("AZURE_OPENAI_ENDPOINT", ""), ("AZURE_API_BASE", ""))),
    "deepseek": Place("", "openai", (("DEEPSEEK_API_BASE", ""),)),
    "groq": Place("", "openai", (("GROQ_API_BASE", ""),)),
    "mistral": Place("", "openai", (("MISTRAL_API_BASE", ""),)),
    "xai": Place("", "openai", (("XAI_API_BASE", ""),)),
    "vllm": Place("", "openai", (("HOSTED_VLLM_API_BASE", ""),)),
    "litellm": Place("", "openai", (("LITELLM_PROXY_API_BASE", ""),)),
}
"""Those whose clients are pointed at it where the caller's environment names their address."""

_SUFFIX = {"openai": "/v1"}
"""What clients of a protocol expect at the end of an address, where no variable tells."""

_VERSION = re.compile(r"/v\d\w*(?:/messages)?$")
"""What a client is told of the path: LiteLLM takes it with the endpoint as well."""


@dataclass(frozen=True)
class Target:
    """A provider that the proxy is to ask. `source` says what named it, "" for an option or nothing."""

    url: str
    protocol: str
    source: str = ""


@dataclass(frozen=True)
class Plan:
    """Whom the proxy asks, and which variable leads a client to whom: to a provider's name, with what follows it."""

    targets: Mapping[str, Target]
    variables: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def addresses(self, base: str) -> dict[str, str]:
        """The address of each provider at a proxy that listens there, as the SDKs of its protocol want it."""
        return {
            name: f"{base}/{name}{_SUFFIX.get(target.protocol, '')}" for name, target in sorted(self.targets.items())
        }


def plan(environ: Mapping[str, str], named: Mapping[str, tuple[str, str]]) -> Plan:
    """What leads where. `named` are the operator's own providers, protocol ("" where it isn't said) and URL by name:
    they come before what the environment says."""
    targets: dict[str, Target] = {}
    variables: dict[str, tuple[str, str]] = {}
    for name, (protocol, url) in named.items():
        known = KNOWN.get(name) or FOLLOWED.get(name)
        speaks = protocol or (known.protocol if known else "openai")
        targets[name] = Target(url, speaks)
        suffix = _SUFFIX.get(speaks, "")
        # LiteLLM reads the address of any provider so.
        told = known.variables if known else ((f"{_variable(name)}_API_BASE", suffix),)
        variables |= {variable: (name, end or suffix) for variable, end in told}
    for name, place in (KNOWN | FOLLOWED).items():
        if name not in named:
            _follow(environ, name, place, targets, variables)
    return Plan(targets, variables)


def _follow(
    environ: Mapping[str, str],
    name: str,
    place: Place,
    targets: dict[str, Target],
    variables: dict[str, tuple[str, str]],
) -> None:
    """Where a provider's clients asked so far, they ask on. Two of its variables may name two addresses: what is for
    the one must not reach the other."""
    names: dict[str, str] = {}
    for variable, _ in place.variables:
        if not (url := environ.get(variable, "").strip().rstrip("/")):
            continue
        # The proxy adds what follows its own address: a version is left to the client's side.
        version = _VERSION.search(url)
        end = version[0] if version else ""
        url = url[: len(url) - len(end)]
        own = names.setdefault(url, name if not names else f"{name}-{len(names) + 1}")
        targets.setdefault(own, Target(url, place.protocol, f"${variable}"))
        variables[variable] = (own, end)
    if not names and place.base_url:
        targets[name] = Target(place.base_url, place.protocol)
    if name in targets:
        # What isn't set leads where its first sister does, and to the provider itself where none is.
        for variable, suffix in place.variables:
            variables.setdefault(variable, (name, suffix))


def _variable(name: str) -> str:
    return re.sub(r"\W", "_", name, flags=re.ASCII).upper()


def environment(environ: Mapping[str, str], plan: Plan, base: str, run: str) -> dict[str, str]:
    """The environment for the command, with the proxy at `base`."""
    told = dict(environ)
    told |= {variable: f"{base}/{name}{suffix}" for variable, (name, suffix) in plan.variables.items()}
    for name, url in plan.addresses(base).items():
        # For wrappers, and for tools that take an address as an argument.
        told[f"MULTITRACK_URL_{_variable(name)}"] = url
    told["MULTITRACK_RUN"] = run
    if (claude := plan.targets.get("anthropic")) is not None and claude.url == KNOWN["anthropic"].base_url:
        # Claude Code leaves tools out that a gateway might not know: this one passes everything on.
        told.setdefault("ENABLE_TOOL_SEARCH", "true")
    if (config := _opencode(environ, plan, base)) is not None:
        told["OPENCODE_CONFIG_CONTENT"] = config
    if any(told.get(name) for each in ("http_proxy", "all_proxy") for name in (each, each.upper())):
        told |= _unproxied(told)
    return told


def gone_around(environ: Mapping[str, str]) -> str:
    """The variable that names a proxy of the network for what clients ask elsewhere, which a recorder doesn't take; ""
    where there is none."""
    names = (name for each in ("https_proxy", "all_proxy") for name in (each, each.upper()))
    return next((name for name in names if environ.get(name)), "")


def _unproxied(environ: Mapping[str, str]) -> dict[str, str]:
    """Loopback is not asked of a proxy of the network."""
    kept = next((environ[name] for name in ("no_proxy", "NO_PROXY") if environ.get(name)), "")
    listed = [host for host in re.split(r"[,\s]+", kept) if host]
    if "*" in listed:
        return {}
    value = ",".join([*listed, *(host for host in HOSTS if host not in listed)])
    return {"no_proxy": value, "NO_PROXY": value}


_OPENCODE = {
    "gemini": ("google", "/v1beta", ("GOOGLE_GENERATIVE_AI_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY")),
    "openrouter": ("openrouter", "/v1", ("OPENROUTER_API_KEY",)),
}
"""The providers whose address opencode reads from no variable: what it calls them, what it expects at the address's
end, and where their keys are. (It takes a provider that is configured for a choice; one without a key is none.)"""


def _opencode(environ: Mapping[str, str], plan: Plan, base: str) -> str | None:
    """opencode's inline configuration, added to that of the caller; None where nothing is to be added, or can be."""
    keyed = {name for name, (*_, keys) in _OPENCODE.items() if any(environ.get(key) for key in keys)}
    if not (keyed := keyed & plan.targets.keys()):
        return None
    given = environ.get("OPENCODE_CONFIG_CONTENT", "")
    try:
        config: Any = json.loads(given) if given.strip() else {}
    except ValueError:
        return None
    if not isinstance(config, dict) or not isinstance(providers := config.setdefault("provider", {}), dict):
        return None
    for name in sorted(keyed):
        called, suffix, _ = _OPENCODE[name]
        provider = providers.setdefault(called, {})
        if not isinstance(provider, dict) or not isinstance(options := provider.setdefault("options", {}), dict):
            return None
        options.setdefault("baseURL", f"{base}/{name}{suffix}")
    return json.dumps(config)


CHATGPT = "https://chatgpt.com/backend-api/codex"
"""Whom codex asks when it is logged in to ChatGPT."""


def is_codex(command: Sequence[str]) -> bool:
    """Whether it is codex, whose address is an argument: it reads no variable. Not where its arguments name a provider
    already."""
    own = ("model_provider", "openai_base_url", "--oss", "--local-provider")
    return PurePath(command[0]).name == "codex" and not any(word in each for each in command[1:] for word in own)


def arguments(command: Sequence[str], plan: Plan, base: str) -> list[str]:
    """The command line, with what a tool must be told there. codex keeps its own provider and login so, and its
    sessions can be resumed without us."""
    if not is_codex(command):
        return list(command)
    url = plan.addresses(base)["openai"] if "chatgpt" not in plan.targets else f"{base}/chatgpt"
    return [command[0], "-c", f'openai_base_url="{url}"', *command[1:]]


def why_nothing(command: Sequence[str], environ: Mapping[str, str]) -> str:
    """Why a command's calls may have gone past the proxy, and what to do, in a sentence or two."""
    program = PurePath(command[0]).name
    if program == "claude":
        for variable, who in _ELSEWHERE.items():
            if environ.get(variable, "").lower() not in ("", "0", "false", "no", "off"):
                return f"{variable} is set, and {who} can't be recorded so. Unset it."
    if program in _OWN:
        return _OWN[program]
    return (
        f"either {program} asked no model, or it takes the address from its configuration or its code instead of the "
        "environment. Give it the one in $MULTITRACK_URL_ANTHROPIC, $MULTITRACK_URL_OPENAI or $MULTITRACK_URL_GEMINI."
    )


_ELSEWHERE = {
    "CLAUDE_CODE_USE_BEDROCK": "Amazon Bedrock",
    "CLAUDE_CODE_USE_VERTEX": "Google Vertex AI",
    "CLAUDE_CODE_USE_FOUNDRY": "Microsoft Foundry",
}

_OWN = {
    "claude": "either it asked no model, or an ANTHROPIC_BASE_URL in the `env` of one of its settings files takes the "
    "place of ours. Set it in your shell instead: there it is followed.",
    "codex": "either it asked no model, or its configuration names a model_provider of its own. Give that one the "
    "base_url in $MULTITRACK_URL_OPENAI.",
    "gemini": "either it asked no model, or it is logged in with a Google account, and then asks another service. With "
    "an API key (GEMINI_API_KEY) it is recorded.",
    "opencode": "either it asked no model, or its configuration has a baseURL, or it asked another provider than "
    "anthropic, openai, and google and openrouter with a key in the environment.",
    "cursor-agent": "it asks its maker's servers only, and can't be recorded so.",
    "amp": "it asks its maker's servers only, and can't be recorded so.",
}


def title(command: Sequence[str], folder: PurePath) -> str:
    """What a recording of it is called: the program, or the script that it runs, and where. Not its other arguments,
    which may be anything, keys too."""
    program = PurePath(command[0]).name
    script = next((argument for argument in command[1:] if not argument.startswith("-")), "")
    if _RUNS_SCRIPTS.fullmatch(program) and _SCRIPT.fullmatch(script):
        program = PurePath(script).name
    return f"{program} in {folder.name}," if folder.name else f"{program},"


_RUNS_SCRIPTS = re.compile(r"(?:python|node|bun|deno|ruby|perl|bash|sh|zsh)[\d.]*")
_SCRIPT = re.compile(r"\S+\.(?:py|[cm]?[jt]s|rb|pl|sh)")
