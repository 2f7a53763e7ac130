"""The sandbox level of this host: tried once per boot, then stored in the data directory."""

import contextlib
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from batches.core.errors import ServiceError
from batches.models import Project
from subagents.contract import ContractError, read_json_file, write_atomic
from subagents.network_access import NO_SANDBOX
from subagents.procfs import boot_id
from subagents.sandbox import BWRAP, ISOLATING, SandboxUnavailable, find_level

NAMED = 5

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The level in use, why stronger levels are not, when it was tried (ISO 8601) and how long that took."""

    level: str
    refused: dict[str, str]
    at: str
    seconds: float
    key: list[str]

    @property
    def isolates(self) -> bool:
        return self.level in ISOLATING

    def words(self) -> str:
        """One line for pages and `doctor`."""
        why = "".join(f"; {level}: {reason}" for level, reason in self.refused.items())
        return f"{self.level}, tried {self.at[:16].replace('T', ' ')} UTC in {self.seconds * 1000:.0f} ms{why}"


known_levels: dict[Path, Sandbox] = {}  # {file: its content}, so that this process reads it once


def sandbox_level() -> Sandbox:
    """The sandbox that commands of this host run in. Raises SandboxUnavailable if CE_SANDBOX does not work here."""
    path = Path(settings.CE_DATA_DIR) / "sandbox.json"
    key = [settings.CE_SANDBOX, boot_id(), BWRAP]
    found = known_levels.get(path) or _stored(path)
    if found is None or found.key != key:
        path.parent.mkdir(parents=True, exist_ok=True)
        chosen = find_level(settings.CE_SANDBOX, str(path.parent))
        found = Sandbox(chosen.level, chosen.refused, timezone.now().isoformat(timespec="seconds"), round(chosen.seconds, 3), key)
        logger.info("sandbox: %s", found.words())
        with contextlib.suppress(OSError):  # the disk is full; the next process tries again
            write_atomic(str(path), json.dumps(asdict(found)).encode(), durable=False, mode=0o600)
    known_levels[path] = found
    return found


# Where tools look in every folder above the one that they work in, to the root.
SETTINGS_OF_TOOLS = (
    *("pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg", "ruff.toml", ".ruff.toml", ".flake8", "mypy.ini", ".editorconfig"),
    *("package.json", "node_modules", "tsconfig.json", ".prettierrc"),
    *("Cargo.toml", ".cargo", "go.mod", "go.work", "Gemfile", "composer.json"),
)
ELSEWHERE = "Set CE_DATA_DIR to a folder that lies in no project, or install bubblewrap: there a checkout has nothing above it."


def settings_above() -> str:
    """What tools would find above the checkouts, in words, where the sandbox does not hide it; "" for nothing.

    pytest, ruff, node, cargo and others take the nearest settings in the folders above as the project's own. At landlock they
    fail, since they may not read what they see.
    """
    try:
        if sandbox_level().level == "bwrap":
            return ""
    except SandboxUnavailable:
        return ""  # said by whoever needs the level
    folder = Path(settings.CE_DATA_DIR).resolve()
    found = [str(above / name) for above in (folder, *folder.parents) for name in SETTINGS_OF_TOOLS if (above / name).exists()]
    return f"tools take settings above the checkouts for a project's own: {', '.join(found[:NAMED])}" if found else ""


def _stored(path: Path) -> Sandbox | None:
    try:
        data = read_json_file(str(path))
        return None if data is None else Sandbox(**data)
    except (ContractError, TypeError):
        return None  # written by another version, or damaged


def refuse_allowed_hosts_without_sandbox(project: Project) -> None:
    """Raises ServiceError when a project allows some hosts only, and no sandbox here can keep commands to them."""
    if not project.allowed_hosts.strip():
        return
    try:
        level = sandbox_level().level
    except SandboxUnavailable as error:
        raise ServiceError(str(error)) from error
    if level not in ISOLATING:
        raise ServiceError(f"{NO_SANDBOX[0].upper()}{NO_SANDBOX[1:]}.")


def refuse_unsandboxed_agent(backend: str) -> None:
    """Raises ServiceError when an agent would run without isolation from this host, unless CE_ALLOW_UNSANDBOXED allows it.

    Commands of steps and gates are exempt: a person read and confirmed each of them.
    """
    if backend == "steps" or settings.CE_ALLOW_UNSANDBOXED:
        return
    try:
        sandbox = sandbox_level()
    except SandboxUnavailable as error:
        raise ServiceError(str(error)) from error
    if not sandbox.isolates:
        why = "; ".join(f"{level}: {reason}" for level, reason in sandbox.refused.items()) or "CE_SANDBOX=rlimit"
        message = f"An agent needs a sandbox, and none isolates on this host ({why})."
        raise ServiceError(f"{message} Install bubblewrap, or set CE_ALLOW_UNSANDBOXED=1 to do without.")
