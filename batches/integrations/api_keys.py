"""The installation's API key: from the environment, from a file, or kept encrypted in the database.

With another SECRET_KEY a kept key cannot be read any more (integrations/sealed.py), which is said; it has to be entered again.
"""

import os
from dataclasses import dataclass

from batches.integrations.sealed import Unreadable, unseal
from batches.models import Installation
from subagents.backends import missing
from subagents.contract import ContractError, read_bytes

FILE_BYTES = 4096
ENTER = "Set ANTHROPIC_API_KEY where CE Web is started, or enter a key on the page Settings."
BACKENDS_WITH_KEY = frozenset({"claude"})  # a command of the operator's has a key of its own


@dataclass(frozen=True, slots=True)
class ApiKey:
    """`value` is "" when there is none or it cannot be read; then `problem` says why. `source` is in words for people."""

    value: str
    source: str = ""
    problem: str = ""

    def __repr__(self) -> str:
        return f"ApiKey(source={self.source!r}, problem={self.problem!r})"  # never the value

    @property
    def ending(self) -> str:
        """The last four characters, of a key that is long enough for them to say little."""
        return self.value[-4:] if len(self.value) >= 20 else ""


def api_key() -> ApiKey:
    """The key that agents are given: the environment's, else the file's, else the one kept on the settings page."""
    if value := os.environ.get("ANTHROPIC_API_KEY", "").strip():
        return ApiKey(value, "the environment (ANTHROPIC_API_KEY)")
    if path := os.environ.get("CE_API_KEY_FILE", "").strip():
        return _of_file(path)
    kept = Installation.objects.filter(pk=1).values_list("api_key", flat=True).first()
    if not kept:
        return ApiKey("", problem="There is no key.")
    try:
        return ApiKey(unseal(kept), "kept on this page, encrypted")
    except Unreadable:
        return ApiKey("", "kept on this page", "It cannot be read, since SECRET_KEY has changed. Enter the key again.")


def key_for(backend: str) -> str:
    """What an attempt's process is handed; "" for a backend that needs no key."""
    return api_key().value if backend in BACKENDS_WITH_KEY else ""


def lacking(backend: str) -> str:
    """What keeps a backend from working here, in sentences with the way out; "" when nothing is known to."""
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
        return ApiKey("", source, f"The file cannot be used: {error}.")
    return ApiKey(value, source, "" if value else "The file is empty." if data is not None else "There is no such file.")
