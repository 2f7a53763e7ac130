"""Projects: add one, change its settings. Each function checks permissions and refuses with a sentence."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.text import slugify

from batches.accounts import audit_log
from batches.accounts.actor import Actor
from batches.accounts.roles import ADD_PROJECT, CHANGE_PROJECT
from batches.accounts.sealed import seal
from batches.core.errors import ServiceError
from batches.core.gates.project_gates import StandardGate
from batches.integrations.forges.home import split_address
from batches.integrations.forges.types import ForgeError
from batches.integrations.webhook import WebhookError, check_url
from batches.models import Host, Installation, Project
from batches.repositories.ownership import refuse_owned, this_installation
from subagents.contract import SubagentError
from subagents.environment import why_reserved
from subagents.workspace import open_repository

SECRET_CHARACTERS = 16  # a shorter one could be guessed from a signed message
PROJECT_SETTINGS = frozenset(
    {
        *("name", "base_branch", "backend", "agent_command", "agent_resume"),
        *("max_parallel", "phase_limit_minutes", "silence_seconds", "scheduling"),
        *("model", "retry_model", "repairs", "answer_minutes", "budget_usd", "phase_cap_usd", "monthly_budget_usd"),
        *("fail_fast", "require_review", "accept_context", "shared_context", "worker_hosts", "remote", "keep_days", "keep_megabytes"),
        *("undeclared_edits", "deletions", "protected_paths", "network", "allowed_hosts", "tool_paths"),
        *("setup_command", "setup_inputs", "setup_network", "bring_along", "environment_path", "environment_variables"),
        *("effort", "fallback_model"),
        *("mcp_servers", "allowed_tools", "denied_tools", "skills", "subagents", "web_search", "web_fetch"),
        *("instructions_executor", "instructions_reviewer", "instructions_generator"),
        *("linear_team", "linear_token", "linear_forget"),
        *("forge", "forge_address", "forge_token", "forge_forget", "finish_by", "remark_rounds"),
        *("notify_webhook", "notify_secret", "notify_forget", "notify_format", "notify_mail"),
        *(f"{name}_{part}" for name in ("lint", "test", "coverage") for part in ("command", "when")),
        *("standard_gates", "largest_file_mb", "rerun_gates"),
    }
)


def create_project(*, name: str, repository: str, actor: Actor, base_branch: str = "") -> Project:
    """Create a project on the git repository at the absolute path `repository`. Raises ServiceError, PermissionDenied."""
    actor.require(ADD_PROJECT, None)
    name = " ".join(name.split())
    if not name:
        raise ServiceError("A project needs a name.")
    path = _repository_path(repository)
    try:
        opened = open_repository(path)
        branch = base_branch.strip() or opened.default_branch()
        opened.branch_commit(branch)
        refuse_owned(opened, this_installation())
    except SubagentError as problem:
        raise ServiceError(str(problem)) from problem
    base_slug = slugify(name) or "project"
    taken = set(Project.objects.filter(slug__startswith=base_slug).values_list("slug", flat=True))
    unique = next(candidate for candidate in _numbered(base_slug) if candidate not in taken)
    try:
        with transaction.atomic():
            audit_log.record(audit_log.Kind.PROJECT, actor.cause, f"Added the project {name} on {path}")
            return Project.objects.create(
                name=name,
                slug=unique,
                repository=path,
                base_branch=branch,
                backend=Installation.objects.filter(pk=1).values_list("default_backend", flat=True).first() or "steps",
                created_by=actor.user,
            )
    except IntegrityError:
        if Project.objects.filter(repository=path).exists():
            raise ServiceError(f"A project on {path} already exists.") from None
        raise ServiceError(f"A project called {name} already exists.") from None


def update_project(*, project: Project, changes: Mapping[str, object], actor: Actor) -> None:
    """Save settings of a project; `changes` maps field names to checked values. Raises ServiceError, PermissionDenied."""
    actor.require(CHANGE_PROJECT, project)
    unknown = set(changes) - PROJECT_SETTINGS
    if unknown:
        raise ServiceError(f"Unknown project settings: {', '.join(sorted(unknown))}.")
    changes = dict(changes)
    if any(changes.get(name, getattr(project, name)) != getattr(project, name) for name in ("tool_paths", "worker_hosts", "remote")):
        actor.require(ADD_PROJECT, None)  # what commands may read of this machine, and which ones execute, is no matter of one project
    token, forget = str(changes.pop("linear_token", "")).strip(), changes.pop("linear_forget", False)
    if token or forget:
        changes["linear_token_sealed"] = seal(token) if token else ""
    token, forget = str(changes.pop("forge_token", "")).strip(), changes.pop("forge_forget", False)
    if token or forget:
        changes["forge_token_sealed"] = seal(token) if token else ""
    _check_forge(project, changes)
    _check_hosts(project, changes)
    webhook, forget = str(changes.pop("notify_webhook", "")).strip(), changes.pop("notify_forget", False)
    if webhook or forget:
        changes["notify_webhook_sealed"] = seal(_checked_webhook(webhook)) if webhook else ""
    if secret := str(changes.pop("notify_secret", "")).strip():
        if len(secret) < SECRET_CHARACTERS:
            raise ServiceError(f"The secret of the webhook has at least {SECRET_CHARACTERS} characters.")
        changes["notify_secret_sealed"] = seal(secret)
    elif forget:
        changes["notify_secret_sealed"] = ""
    _check_gates(changes)
    _check_environment(project, changes)
    changed = sorted(name for name, value in changes.items() if getattr(project, name) != value)
    branch = changes.get("base_branch", project.base_branch)
    if branch != project.base_branch:
        try:
            open_repository(project.repository).branch_commit(str(branch))
        except SubagentError as problem:
            raise ServiceError(str(problem)) from problem
    try:
        with transaction.atomic():
            Project.objects.filter(pk=project.pk).update(**changes)
            if changed:
                audit_log.record(audit_log.Kind.PROJECT, actor.cause, f"Changed {project.name}: {', '.join(changed).replace('_', ' ')}")
    except IntegrityError:
        raise ServiceError(f"A project called {changes.get('name')} already exists.") from None
    project.refresh_from_db()


def _check_forge(project: Project, changes: dict[str, object]) -> None:
    """Tidy the address of the code host. Raises ServiceError for one that cannot be used, or that lacks its other half."""
    if not {"forge", "forge_address"} & set(changes):
        return
    kind = str(changes.get("forge", project.forge))
    address = str(changes.get("forge_address", project.forge_address)).strip()
    if bool(kind) != bool(address):
        raise ServiceError("A code host needs both: its kind and the address of the repository there.")
    if kind:
        try:
            root, path = split_address(kind, address)
            check_url(f"{root}/{path}", private=settings.CE_FORGE_PRIVATE, what="The address of a code host")
        except (ForgeError, WebhookError) as problem:
            raise ServiceError(str(problem)) from None
        address = f"{root}/{path}"
    changes["forge_address"] = address
    moved = bool(project.forge_address) and urlsplit(address)[:2] != urlsplit(project.forge_address)[:2]
    if moved and "forge_token_sealed" not in changes:
        changes["forge_token_sealed"] = ""  # a token is for the host that it was entered for


def _check_hosts(project: Project, changes: dict[str, object]) -> None:
    """Raises ServiceError for worker hosts that the project's work could not reach, naming the setting."""
    if not {"worker_hosts", "remote", "forge"} & set(changes):
        return
    names = str(changes.get("worker_hosts", project.worker_hosts)).split()
    if unknown := [name for name in names if not Host.objects.exclude(directory="").filter(name=name).exists()]:
        known = ", ".join(Host.objects.exclude(directory="").values_list("name", flat=True)) or "none"
        raise ServiceError(f"No worker host is called {', '.join(unknown)}. Known: {known}. One is known once it has been started.")
    remote = str(changes.get("remote", project.remote)).strip()
    if names and not remote and not changes.get("forge", project.forge):
        raise ServiceError("Worker hosts have no repository of this project: set Remote, from which they clone, or its code host.")
    if remote and not remote.startswith("/"):
        try:
            check_url(remote, private=settings.CE_FORGE_PRIVATE, what="The remote")
        except WebhookError as problem:
            raise ServiceError(str(problem)) from None
    data = os.path.realpath(settings.CE_DATA_DIR)
    if remote.startswith("/") and os.path.commonpath([os.path.realpath(remote), data]) == data:
        raise ServiceError(f"{remote} lies in CE Web's data directory, where commands of plans write: choose another place.")
    changes["remote"] = remote


def _checked_webhook(address: str) -> str:
    """The address, if it is a valid webhook address. Whether it can be reached shows when something is sent."""
    try:
        check_url(address, private=settings.CE_WEBHOOK_PRIVATE)
    except WebhookError as problem:
        raise ServiceError(str(problem)) from None
    return address


def _check_gates(changes: Mapping[str, object]) -> None:
    """Raises ServiceError for a gate command of more than one line, and for an unknown standard gate."""
    for name in ("lint", "test", "coverage"):
        if not str(changes.get(f"{name}_command", "")).isprintable():
            raise ServiceError(f"The {name} command must be one line of text; put a longer one into a script in the repository.")
    names = changes.get("standard_gates", [])
    if not isinstance(names, list) or not set(names) <= set(StandardGate):
        raise ServiceError(f"Unknown standard gate. Choose some of: {', '.join(StandardGate)}.")


def _check_environment(project: Project, changes: Mapping[str, object]) -> None:
    """Raises ServiceError for a variable that commands cannot be given, and for files of CE Web's own that would be brought along."""
    for line in str(changes.get("environment_variables", "")).splitlines():
        name = line.partition("=")[0].strip()
        if reason := why_reserved(name):
            raise ServiceError(f"{name} {reason}.")
    data, folder = os.path.realpath(settings.CE_DATA_DIR), os.path.realpath(project.repository)
    for path in str(changes.get("bring_along", "")).splitlines():
        whole = os.path.normpath(os.path.join(folder, path))
        if ".ce" in path.split("/") or (f"{data}/".startswith(f"{folder}/") and f"{whole}/".startswith(f"{data}/")):
            raise ServiceError(f"{path} belongs to CE Web and is not brought along.")


def _repository_path(text: str) -> str:
    path = Path(text.strip()).expanduser()
    if not text.strip() or "\0" in text or not path.is_absolute():
        raise ServiceError("Give the absolute path of a git repository on this machine, such as /home/me/code/shop.")
    return os.path.realpath(path)


def _numbered(base: str) -> Iterable[str]:
    yield base
    number = 2
    while True:
        yield f"{base[:70]}-{number}"
        number += 1
