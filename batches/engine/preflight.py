"""The preflight: check whether repository, backend and hosts are ready for a plan, before anybody presses Execute."""

import functools
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from batches.core.text import words
from batches.engine.disk_space import reported_file_systems
from batches.engine.sandboxing import ELSEWHERE, settings_above
from batches.integrations.api_keys import lacking
from batches.models import Host, Project
from batches.repositories.ownership import OwnedByAnother, refuse_owned, this_installation
from batches.repositories.repository import checked_repository
from subagents import not_committed
from subagents.backends import BACKENDS
from subagents.contract import SubagentError
from subagents.sandbox import seen_by_commands
from subagents.workspace import Repository

TICK_LATE_SECONDS = 10.0  # the watchdog of `manage.py up` restarts the cluster by then
DISK_LOW_BYTES = 2 * 1024**3
FILES_NAMED = 8
SERVER_PACKAGES = ("django", "django_q", "gunicorn", "httpx", "whitenoise")
IN_A_VENV = "Install CE Web in a virtual environment, as `make run` does, or give each project its own under Environment."
COMMANDS_ONLY = "steps"  # the backend that runs fenced commands and understands no prose


@dataclass(frozen=True, slots=True)
class PreflightCheck:
    """One line: `state` is ok, warning, error or unknown; `text` says what was found, `hint` what to do."""

    name: str
    state: str
    text: str
    hint: str = ""


def preflight_checks(
    *, project: Project | None, backend: str = "", prose_phases: Sequence[str] = (), files: Sequence[str] = ()
) -> tuple[PreflightCheck, ...]:
    """What a person should know before executing a plan on `project`. Changes nothing, and reports problems without raising.

    `prose_phases` are the keys of phases with a step that has no command, `files` the files that the plan declares. An empty
    `backend` means the project's.
    """
    checks: list[PreflightCheck] = []
    if project is None:
        checks.append(PreflightCheck("Repository", "unknown", "no project chosen yet", "The project is chosen before Execute."))
    else:
        checks += _repository(project, files)
        checks.append(_backend(backend or project.backend, prose_phases, project.agent_command))
    if seen := server_packages_seen():
        checks.append(PreflightCheck("Python", "warning", seen, IN_A_VENV))
    if above := settings_above():
        checks.append(PreflightCheck("Folders above", "warning", above, ELSEWHERE))
    return (*checks, *_hosts())


def ask_at_start() -> None:
    """Ask what only a program can answer, as a web process starts: then viewing its pages runs nothing."""
    server_packages_seen()
    settings_above()  # tries the sandbox, where nobody has on this machine


@functools.cache
def server_packages_seen() -> str:
    """Which packages of the server the commands of projects can import, in words; "" for none."""
    ours = {name: spec.origin for name in SERVER_PACKAGES if (spec := importlib.util.find_spec(name)) and spec.origin}
    seen = seen_by_commands(ours)
    return f"commands of projects can import the server's own packages ({', '.join(seen)}): tests may pass by them" if seen else ""


def _repository(project: Project, files: Sequence[str]) -> list[PreflightCheck]:
    try:
        repository = checked_repository(project)
    except SubagentError as problem:
        return [PreflightCheck("Repository", "error", str(problem), "Fix it, or choose another project.")]
    found = [PreflightCheck("Repository", "ok", project.repository)]
    try:
        commit = repository.branch_commit(project.base_branch)
        found.append(PreflightCheck("Base branch", "ok", f"{project.base_branch} at {commit[:8]}"))
        repository.refuse_missing_objects(commit)
        refuse_owned(repository, this_installation())
        found += _what_git_would_lose(repository, commit, files)
    except OwnedByAnother as problem:
        found.append(PreflightCheck("Owner", "error", str(problem), "Until then the batch waits."))
    except SubagentError as problem:
        found.append(PreflightCheck("Base branch", "error", str(problem), "Fix that, or choose another base branch in its settings."))
    found.append(_working_tree(repository))
    return found


def _what_git_would_lose(repository: Repository, commit: str, files: Sequence[str]) -> list[PreflightCheck]:
    """Declared files that could be in no commit, and files that a checkout could not have as they are meant."""
    found = []
    for path, where in list(not_committed.ignored_files(repository, commit, files).items())[:FILES_NAMED]:
        hint = "Change .gitignore or the plan: what git ignores is in no commit, and its gate fails."
        found.append(PreflightCheck("Ignored file", "error", f"{path} is declared, but {where} keeps it out of the commit", hint))
    for path, folder in list(not_committed.submodule_of(repository, commit, files).items())[:FILES_NAMED]:
        text = f"{path} is declared, but {folder} is a submodule"
        found.append(PreflightCheck("Submodule", "error", text, "Change it in its own repository; a batch cannot commit it."))
    if missing := not_committed.missing_submodules(repository, commit):
        text = f"not on this machine: {', '.join(missing[:FILES_NAMED])}"
        found.append(PreflightCheck("Submodule", "warning", text, "Run git submodule update --init in the repository; else it is empty."))
    filters = not_committed.filters_named(repository, commit)
    for path, name in list(not_committed.filtered_files(repository, commit, files if filters else ()).items())[:FILES_NAMED]:
        text = f"{path} is declared, but {filters.get(name, 'an attribute')} sends it through the filter {name}, which is not run"
        found.append(PreflightCheck("Filter", "error", text, "Change it in a clone of your own; a batch cannot commit it."))
    for name, where in (not_committed.filters_in_use(repository, commit) if filters else {}).items():
        text = f"{where} sends files through the filter {name}, which is not run"
        found.append(PreflightCheck("Filter", "warning", text, "Checkouts have its files as the commit has them: pointers or encrypted."))
    return found


def lost_in_git(repository: Repository, commit: str, files: Sequence[str]) -> tuple[str, ...]:
    """What of these declared files could be in no commit, and the like, as sentences. Raises GitError, OSError."""
    return tuple(f"{check.name}: {check.text}. {check.hint}" for check in _what_git_would_lose(repository, commit, files))


def _working_tree(repository: Repository) -> PreflightCheck:
    try:
        dirty = repository.dirty_summary()
    except SubagentError as problem:
        return PreflightCheck("Your files", "unknown", str(problem))
    if not dirty:
        return PreflightCheck("Your files", "ok", "nothing uncommitted")
    text = f"{words.counted(dirty, 'file has', 'files have')} uncommitted changes"
    return PreflightCheck("Your files", "warning", text, "The batch does not see them and leaves them alone.")


def agent_lacking(project: Project) -> str:
    """Why no agent can be asked about the project, and what to do; "" when one can."""
    if project.demo:
        return "This project is a demonstration: its repository does not exist."
    if project.backend == COMMANDS_ONLY:
        return f"The project's backend is {COMMANDS_ONLY}, which uses no model. Choose an agent in the project's settings."
    found = _backend(project.backend, (), project.agent_command)
    return f"{found.text.rstrip('.')}. {found.hint}" if found.state == "error" else ""


def _backend(backend: str, prose_phases: Sequence[str], command: str) -> PreflightCheck:
    if backend not in BACKENDS:
        return PreflightCheck("Backend", "error", f"unknown backend {backend}", f"Choose one of: {', '.join(BACKENDS)}.")
    if backend == "command" and not command.strip():
        return PreflightCheck("Backend", "error", "no agent command is configured", "Enter it in the project's settings.")
    if lacks := lacking(backend):
        return PreflightCheck("Backend", "error", lacks, f"Until then {COMMANDS_ONLY} runs the commands of steps.")
    if backend != COMMANDS_ONLY or not prose_phases:
        return PreflightCheck("Backend", "ok", f"{backend} can do every step")
    named = ", ".join(prose_phases[:8]) + (f" and {len(prose_phases) - 8} more" if len(prose_phases) > 8 else "")
    text = f"{backend} runs commands only; steps in prose in phase{'' if len(prose_phases) == 1 else 's'} {named}"
    return PreflightCheck("Backend", "error", text, "Give those steps a fenced command, or choose a backend with an agent.")


def _hosts() -> list[PreflightCheck]:
    """Ticker and disk, from the rows that the hosts write."""
    now = timezone.now()
    hosts = list(Host.objects.all())
    alive = [host for host in hosts if host.last_tick_at and now - host.last_tick_at <= timedelta(seconds=TICK_LATE_SECONDS)]
    if alive:
        ticker = PreflightCheck("Ticker", "ok", f"alive on {', '.join(host.name for host in alive[:4])}")
    else:
        last = max((host.last_tick_at for host in hosts if host.last_tick_at), default=None)
        text = "has never reported" if last is None else f"silent for {words.duration((now - last).total_seconds())}"
        ticker = PreflightCheck("Ticker", "error", text, "Nothing starts until CE Web's cluster runs: `manage.py up`.")
    known = list(reported_file_systems(alive or hosts))
    if not known:
        return [ticker, PreflightCheck("Disk", "unknown", "no host has reported its free space")]
    name, disk = min(known, key=lambda pair: (not pair[1].is_low, pair[1].free_bytes))
    text = f"{disk.words} on {name}"
    if disk.is_low or disk.free_bytes < DISK_LOW_BYTES:
        return [ticker, PreflightCheck("Disk", "warning", text, "Checkouts and logs need room; remove old ones or move CE_DATA_DIR.")]
    return [ticker, PreflightCheck("Disk", "ok", text)]
