"""The command-line agents that are known by name. The versions are those that were run against the proxy; another one
is asked for with a build argument.

Each is kept from what has nothing to do with its work: updates, telemetry, questions, a sandbox inside the sandbox.
"""

from backends.agents.commands.declaration import Declaration


def _apt(program: str, *packages: str) -> str:
    """Debian's packages, where the image lacks the program."""
    install = f"apt-get install -y -qq --no-install-recommends {' '.join(packages)} >/dev/null"
    return (
        f"RUN {{ {program}; }} >/dev/null 2>&1 || {{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive {install} "
        "&& rm -rf /var/lib/apt/lists/*; }"
    )


def _npm(package: str, version: str, program: str) -> tuple[str, ...]:
    install = f"npm install -g --no-fund --no-audit --loglevel=error {package}@$VERSION && rm -rf /root/.npm"
    return (
        _apt(f"command -v {program} || command -v npm", "nodejs", "npm"),
        f"ARG VERSION={version}",
        f"RUN command -v {program} >/dev/null || {{ {install}; }}",
    )


def _venv(name: str, package: str, version: str, program: str, *more: str) -> tuple[str, ...]:
    """A Python program in an environment of its own, which the repository's packages can't disturb."""
    folder = f"/opt/{name}"
    wanted = " ".join((f"{package}==$VERSION", *more))
    made = f"python3 -m venv {folder} && {folder}/bin/pip install -q --no-cache-dir {wanted}"
    install = f"{made} && ln -s {folder}/bin/{program} /usr/local/bin/{program}"
    return (
        _apt(f"command -v {program} || python3 -m ensurepip --version", "python3", "python3-venv"),
        f"ARG VERSION={version}",
        f"RUN command -v {program} >/dev/null || {{ {install}; }}",
    )


CLAUDE_CODE = Declaration(
    name="claude-code",
    command="claude -p --dangerously-skip-permissions --model {model} <{prompt}",
    again="claude -p --continue --dangerously-skip-permissions --model {model} <{again}",
    environment={
        "ANTHROPIC_BASE_URL": "{url}/anthropic",
        "ANTHROPIC_AUTH_TOKEN": "{key}",
        # It asks other models for small things, and its subagents may be told to: all of them are the strategy's.
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": "{model}",
        "ANTHROPIC_DEFAULT_SONNET_MODEL": "{model}",
        "ANTHROPIC_DEFAULT_OPUS_MODEL": "{model}",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
    },
    provider="anthropic",
    install=_npm("@anthropic-ai/claude-code", "2.1.330", "claude"),
)

_CODEX = (
    " --dangerously-bypass-approvals-and-sandbox --skip-git-repo-check -m {model} -c model_provider=multitrack "
    '-c "model_providers.multitrack={name=\\"multitrack\\",base_url=\\"$MULTITRACK_URL/openai/v1\\",'
    'env_key=\\"MULTITRACK_KEY\\",wire_api=\\"responses\\",supports_websockets=false}" '
    # The key is not for the commands that it runs.
    "-c 'shell_environment_policy.exclude=[\"MULTITRACK_KEY\"]' -c analytics.enabled=false - "
)

CODEX = Declaration(
    name="codex",
    command=f"codex exec{_CODEX}<{{prompt}}",
    again=f"codex exec resume --last{_CODEX}<{{again}}",
    provider="openai",
    install=_npm("@openai/codex", "0.169.0", "codex"),
)

MINI_SWE_AGENT = Declaration(
    name="mini-swe-agent",
    # Its own limits are off: ours hold. It asks whether to go on after its last step, unless told to end there.
    command='mini --yolo --exit-immediately --cost-limit 0 --model {model} --output "$HOME/mini.json" '
    '--task "$(cat {prompt})"',
    environment={
        "ANTHROPIC_API_BASE": "{url}/anthropic",
        "ANTHROPIC_API_KEY": "{key}",
        "OPENAI_API_BASE": "{url}/openai/v1",
        "OPENAI_API_KEY": "{key}",
        "GEMINI_API_BASE": "{url}/gemini/v1beta",
        "GEMINI_API_KEY": "{key}",
        "MSWEA_CONFIGURED": "true",
        "MSWEA_COST_TRACKING": "ignore_errors",
        "MSWEA_SILENT_STARTUP": "1",
        # LiteLLM looks for its prices on the network otherwise.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    },
    model="{provider}/{model}",
    # LiteLLM's newer releases fail at calls with tools.
    install=_venv("mini-swe-agent", "mini-swe-agent", "2.4.6", "mini", "litellm==1.105.3"),
)

AIDER = Declaration(
    name="aider",
    command='aider --model {model} --message-file {prompt} --yes-always --auto-test --test-cmd "$MULTITRACK_CHECK" '
    "--no-auto-commits --no-dirty-commits --no-gitignore --no-check-update --no-show-release-notes "
    "--no-show-model-warnings --analytics-disable --no-detect-urls --no-suggest-shell-commands --no-pretty "
    '--input-history-file "$HOME/aider.input" --chat-history-file "$HOME/aider.chat.md"',
    environment={
        "ANTHROPIC_API_BASE": "{url}/anthropic",
        "ANTHROPIC_API_KEY": "{key}",
        "OPENAI_API_BASE": "{url}/openai/v1",
        "OPENAI_API_KEY": "{key}",
        "GEMINI_API_BASE": "{url}/gemini/v1beta",
        "GEMINI_API_KEY": "{key}",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    },
    model="{provider}/{model}",
    install=_venv("aider", "aider-chat", "0.86.2", "aider"),
    leavings=(".aider*",),
)

OPENCODE = Declaration(
    name="opencode",
    command="opencode run -m {model} <{prompt}",
    again="opencode run --continue -m {model} <{again}",
    environment={
        "OPENCODE_CONFIG_CONTENT": (
            '{{"provider":{{'
            '"anthropic":{{"options":{{"baseURL":"{url}/anthropic/v1","apiKey":"{key}"}}}},'
            '"openai":{{"options":{{"baseURL":"{url}/openai/v1","apiKey":"{key}"}}}}'
            '}},"small_model":"{model}","permission":"allow","autoupdate":false,"share":"disabled"}}'
        ),
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
    },
    model="{provider}/{model}",
    install=_npm("opencode-ai", "1.18.33", "opencode"),
)

KNOWN = {one.name: one for one in (CLAUDE_CODE, CODEX, MINI_SWE_AGENT, AIDER, OPENCODE)}

OWN_ENVIRONMENT = {
    "ANTHROPIC_BASE_URL": "{url}/anthropic",
    "ANTHROPIC_API_BASE": "{url}/anthropic",
    "ANTHROPIC_API_KEY": "{key}",
    "ANTHROPIC_AUTH_TOKEN": "{key}",
    "OPENAI_BASE_URL": "{url}/openai/v1",
    "OPENAI_API_BASE": "{url}/openai/v1",
    "OPENAI_API_KEY": "{key}",
    "GOOGLE_GEMINI_BASE_URL": "{url}/gemini",
    "GEMINI_API_BASE": "{url}/gemini/v1beta",
    "GEMINI_API_KEY": "{key}",
    "LLM_BASE_URL": "{url}/openai/v1",
    "LLM_API_KEY": "{key}",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}
"""What points the SDKs, LiteLLM and most agents at the proxy."""


def declared(agent: str) -> Declaration:
    """The agent of this name, or else the operator's own command."""
    if agent in KNOWN:
        return KNOWN[agent]
    return Declaration(name="own command", command=agent, environment=OWN_ENVIRONMENT, quiet=False)
