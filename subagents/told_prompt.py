"""What an attempt's agent was told, word for word: made once, kept in a file of the attempt, and known by its hash."""

from __future__ import annotations

import os

from subagents.documents import NotADocument, read_start
from subagents.files import ContractError, clean_text, dump_json, load_json, read_bytes, sha256_hex, write_atomic
from subagents.open_repository import attached_repository
from subagents.prompting import render_prompt
from subagents.record import record
from subagents.redaction import redact
from subagents.shared_context import shared_context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from subagents.contract import TaskSpec

FOLDER = ".ce/prompts"
FILE = "prompt.json"
INSTRUCTIONS_BYTES = 8_000
KEPT_CHARACTERS = 60_000
FILE_BYTES = 8 * KEPT_CHARACTERS
INSTRUCTIONS = """
## Instructions of this project for the {role}

Follow them as well. They do not override what is said above of commits, of secrets and of the places that you may read and change.

{text}
"""


@record
class Told:
    """The two parts of a prompt: `shared` is the same for every agent of a stage, `own` is this attempt's. `sha256` is of both."""

    shared: str
    own: str
    sha256: str


@record
class Kept:
    """What is kept of a prompt: its hash, its length, and its text, masked, with its middle left out where it is long."""

    sha256: str
    characters: int
    text: str


def tell(spec: TaskSpec, checkout: str, more: str = "") -> Told:
    """The whole prompt of this attempt, with `more` at its end. It is kept in FILE of the attempt's folder.

    Raises GitError, OSError, ContractError.
    """
    shared = shared_context(spec)
    own = render_prompt(spec, checkout) + _instructions(spec) + more
    told = Told(shared, own, sha256_hex((shared + own).encode("utf-8", "replace")))
    text = clean_text(redact(shared + own))
    half = KEPT_CHARACTERS // 2
    if len(text) > KEPT_CHARACTERS:
        text = f"{text[:half]}\n\n… {len(text) - 2 * half:,} characters are left out here …\n\n{text[-half:]}"
    kept = {"sha256": told.sha256, "characters": len(shared) + len(own), "text": text}
    write_atomic(os.path.join(spec.attempt_dir, FILE), dump_json(kept), durable=False, mode=0o600)
    return told


def read_told(attempt_dir: str) -> Kept | None:
    """What was kept of the prompt of an attempt; None when its agent was told nothing. Raises ContractError, OSError."""
    data = read_bytes(os.path.join(attempt_dir, FILE), FILE_BYTES)
    if data is None:
        return None
    found = load_json(data, FILE)
    shaped = isinstance(found, dict) and all(isinstance(found.get(name), str) for name in ("sha256", "text"))
    if not shaped or not isinstance(found.get("characters"), int):
        raise ContractError(FILE, "is not what a prompt is kept as")
    return Kept(found["sha256"][:64], found["characters"], found["text"][: KEPT_CHARACTERS + 200])


def _instructions(spec: TaskSpec) -> str:
    """What the project adds for this role: the file at the commit that the batch began with, then its settings.

    An agent's own work never gets here, because the batch began before it. Raises GitError.
    """
    path = f"{FOLDER}/{spec.role}.md"
    try:
        data = read_start(attached_repository(spec.repository), spec.batch_base or spec.base_commit, path, INSTRUCTIONS_BYTES + 1)
    except NotADocument:
        data = b""
    cut = f"\n… the rest of {path} is left out" if len(data) > INSTRUCTIONS_BYTES else ""
    of_file = data[:INSTRUCTIONS_BYTES].decode("utf-8", "ignore").strip() + cut
    text = "\n\n".join(part for part in (of_file, spec.instructions.strip()) if part)
    return INSTRUCTIONS.format(role=str(spec.role).replace("_", " "), text=text) if text else ""
