"""The installation's API key: from the environment, from a file, or stored encrypted in the database.

If SECRET_KEY changes, a stored key cannot be decrypted (accounts/sealed.py) and must be entered again.
"""

import os
from dataclasses import dataclass

from batches.accounts.sealed import Unreadable, unseal
from batches.models import Installation
from subagents.backends import missing
from subagents.contract import ContractError, read_bytes
from subagents.credentials import BEARER, SUBSCRIPTION, signed

FILE_BYTES = 4096
ENTER = "Set ANTHROPIC_API_KEY where CE Web is started, or enter a key on the page Settings."
BACKENDS_WITH_KEY = frozenset({"claude"})  # a command that an operator configures has its own key


@dataclass(frozen=True, slots=True)
class ApiKey:
    """`value` is "" if there is no key or it cannot be read; `problem` says why. `source` is a phrase for people."""

    value: str
    source: str = ""
    problem: str = ""
    bearer: bool = False  # sent as a Bearer token, not as an API key

    def __repr__(self) -> str:
        return f"ApiKey(source={self.source!r}, problem={self.problem!r})"  # never the value

    @property
    def kind(self) -> str:
        """What it is, for people."""
        subscription = self.value.startswith(SUBSCRIPTION)
        return "token of a Claude subscription" if subscription else "Bearer token" if self.bearer else "API key"

    @property
    def offered(self) -> str:
        """It as an attempt is given it (subagents/credentials.py): with BEARER before a token that is sent as such."""
        return BEARER + self.value if self.value and (self.bearer or self.value.startswith(SUBSCRIPTION)) else self.value

    @property
    def headers(self) -> dict[str, str]:
        """The headers that a request to the API has of it."""
        return dict(signed(self.offered, ()))

    @property
    def ending(self) -> str:
        """The last four characters, if the key is long enough that they reveal little."""
        return self.value[-4:] if len(self.value) >= 20 else ""


def api_key() -> ApiKey:
    """The key for agents: from the environment (a key before a token), the file, or the settings page."""
    if value := os.environ.get("ANTHROPIC_API_KEY", "").strip():
        return ApiKey(value, "the environment (ANTHROPIC_API_KEY)")
    for name in ("ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"):
        if value := os.environ.get(name, "").strip():
            return ApiKey(value, f"the environment ({name})", bearer=True)
    if path := os.environ.get("CE_API_KEY_FILE", "").strip():
        return _of_file(path)
    kept = Installation.objects.filter(pk=1).values_list("api_key", flat=True).first()
    if not kept:
        return ApiKey("", problem="No key is set.")
    try:
        return ApiKey(unseal(kept), "stored on this page, encrypted")
    except Unreadable:
        return ApiKey("", "stored on this page", "It cannot be read because SECRET_KEY has changed. Enter the key again.")


def key_for(backend: str) -> str:
    """The key for an attempt's process; "" for a backend that needs none."""
    return api_key().offered if backend in BACKENDS_WITH_KEY else ""


def lacking(backend: str) -> str:
    """Why a backend cannot work here, and what to do; "" if nothing is missing."""
    if backend not in BACKENDS_WITH_KEY or missing(backend):
        return missing(backend)
    key = api_key()
    return "" if key.value else f"{key.problem} {ENTER}"


def _of_file(path: str) -> ApiKey:
    source = f"the file {path} (CE_API_KEY_FILE)"
    try:
        data = read_bytes(path, FILE_BYTES)
        value = "" if data is None else data.decode("ascii").strip()
    except (ContractError, UnicodeDecodeError) as error:
        return ApiKey("", source, f"The file cannot be read: {error}.")
    return ApiKey(value, source, "" if value else "The file is empty." if data is not None else "The file does not exist.")
