"""Change the settings of a project. Secrets among them are sealed; each change is recorded."""

from collections.abc import Mapping

from django.conf import settings
from django.db import IntegrityError, transaction

from batches.accounts import audit_log
from batches.accounts.actor import Actor
from batches.accounts.roles import ADD_PROJECT, CHANGE_PROJECT
from batches.accounts.sealed import seal
from batches.core.errors import ServiceError
from batches.integrations.webhook import WebhookError, check_url
from batches.models import Project
from batches.projects.code_host import check_code_host
from batches.projects.gates_and_environment import check_environment, check_gates
from batches.projects.other_services import sealed_services
from batches.projects.worker_hosts import check_worker_hosts
from subagents.contract import SubagentError
from subagents.open_repository import open_repository

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
        *("forge", "forge_address", "forge_fork", "forge_token", "forge_forget", "finish_by", "remark_rounds"),
        *("notify_webhook", "notify_secret", "notify_forget", "notify_format", "notify_mail", "notify_others", "notify_others_forget"),
        *(f"{name}_{part}" for name in ("lint", "test", "coverage") for part in ("command", "when")),
        *("standard_gates", "largest_file_mb", "rerun_gates"),
    }
)


def update_project(*, project: Project, changes: Mapping[str, object], actor: Actor) -> None:
    """Save settings of a project; `changes`: {field: checked value}. Raises ServiceError, PermissionDenied."""
    actor.require(CHANGE_PROJECT, project)
    unknown = set(changes) - PROJECT_SETTINGS
    if unknown:
        raise ServiceError(f"Unknown project settings: {', '.join(sorted(unknown))}.")
    changes = dict(changes)
    if any(changes.get(name, getattr(project, name)) != getattr(project, name) for name in ("tool_paths", "worker_hosts", "remote")):
        actor.require(ADD_PROJECT, None)  # what commands may read of this machine, and which ones execute, is no matter of one project
    for name, whose in (("linear", "Linear"), ("forge", "the code host")):
        token, forget = str(changes.pop(f"{name}_token", "")).strip(), changes.pop(f"{name}_forget", False)
        if not token.isascii() or not token.isprintable() or " " in token:
            raise ServiceError(f"The token of {whose} has a space or a letter that no token has. Copy it once more.")
        if token or forget:
            changes[f"{name}_token_sealed"] = seal(token) if token else ""
    check_code_host(project, changes)
    check_worker_hosts(project, changes)
    webhook, forget = str(changes.pop("notify_webhook", "")).strip(), changes.pop("notify_forget", False)
    if webhook or forget:
        changes["notify_webhook_sealed"] = seal(_checked_webhook(webhook)) if webhook else ""
    if secret := str(changes.pop("notify_secret", "")).strip():
        if len(secret) < SECRET_CHARACTERS:
            raise ServiceError(f"The secret of the webhook has at least {SECRET_CHARACTERS} characters.")
        changes["notify_secret_sealed"] = seal(secret)
    elif forget:
        changes["notify_secret_sealed"] = ""
    others, forget = str(changes.pop("notify_others", "")).strip(), changes.pop("notify_others_forget", False)
    if others or forget:
        changes["notify_others_sealed"] = sealed_services(others, actor)
    check_gates(changes)
    check_environment(project, changes)
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


def _checked_webhook(address: str) -> str:
    """The address, if it is a valid webhook address. Whether it can be reached shows when something is sent."""
    try:
        check_url(address, private=settings.CE_WEBHOOK_PRIVATE)
    except WebhookError as problem:
        raise ServiceError(str(problem)) from None
    return address
