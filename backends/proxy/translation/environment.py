"""The environment of the worker: built up from an allow list, for what the operator has in his is none of its business.
It has no key of any provider, and nothing that would make LiteLLM ask the network for something of its own."""

from collections.abc import Mapping
from pathlib import Path

_ALLOWED = frozenset({"PATH", "LANG", "TZ"})
_FIXED = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_LOCAL_POLICY_TEMPLATES": "True",
    "LITELLM_MODE": "PRODUCTION",  # it reads no .env file
    "LITELLM_LOG": "ERROR",
    "MAX_IMAGE_URL_DOWNLOAD_SIZE_MB": "0",  # it fetches nothing that a client names
    "NO_PROXY": "*",
    "DO_NOT_TRACK": "1",
}


def worker_environment(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The whole environment, from the operator's; `folder` is its home."""
    kept = {key: value for key, value in environ.items() if key in _ALLOWED or key.startswith("LC_")}
    return kept | _FIXED | {"HOME": str(folder), "TMPDIR": str(folder)}
