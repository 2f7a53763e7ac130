"""Apply the remedy that a finding proposes: change one setting of a project, if the person may."""

from collections.abc import Mapping

from django.db.models import Field

from batches.accounts.actor import Actor
from batches.accounts.roles import CHANGE_PROJECT
from batches.core.engine.pricing import check_model
from batches.core.errors import ServiceError, WrongChoice
from batches.core.metrics.findings import APPLIED, RemedyCode
from batches.models import Project
from batches.projects.change_settings import update_project

# {remedy: (the project's setting, the parameter that holds its new value, least, most)}
_NUMBERS = {
    RemedyCode.RAISE_PHASE_LIMIT: ("phase_limit_minutes", "minutes", 1, 7 * 24 * 60),
    RemedyCode.RAISE_SILENCE_LIMIT: ("silence_seconds", "seconds", 10, 24 * 3600),
    RemedyCode.FEWER_AT_ONCE: ("max_parallel", "phases", 1, 256),
    RemedyCode.MORE_AT_ONCE: ("max_parallel", "phases", 1, 256),
}


def apply_remedy(*, code: str, project: Project, params: Mapping[str, object], actor: Actor) -> str:
    """Change the setting of `project` that the remedy names; returns a sentence for the page that says what changed.

    The audit log records it, like every change of a project. Live runs keep their limits until they are retried. Raises
    ServiceError for an unknown remedy, a value out of range, or when nothing would change; PermissionDenied.
    """
    actor.require(CHANGE_PROJECT, project)
    if code not in APPLIED:
        raise ServiceError(f"There is nothing to apply for {code!r}.")
    if project.demo:
        raise ServiceError(f"{project.name} is a demonstration: nothing runs there, so its settings have no effect.")
    field, value = _change(RemedyCode(code), params)
    project.refresh_from_db()
    before = getattr(project, field)
    if before == value:
        raise ServiceError(f"{_name(field)} of {project.name} is already {_shown(value)}.")
    update_project(project=project, changes={field: value}, actor=actor)
    changed = f"{_name(field)} of {project.name}: {_shown(value)} instead of {_shown(before)}."
    return f"{changed} New runs use it, and so does the next retry."


def _change(remedy: RemedyCode, params: Mapping[str, object]) -> tuple[str, object]:
    if remedy is RemedyCode.SHARE_CONTEXT:
        return "shared_context", True
    if remedy is RemedyCode.FAIL_UNDECLARED:
        return "undeclared_edits", "fail"
    if remedy is RemedyCode.RETRY_MODEL:
        return "retry_model", check_model(str(params.get("model", "")))
    field, name, least, most = _NUMBERS[remedy]
    text = str(params.get(name, ""))
    if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
        raise WrongChoice(f"{_name(field)} is a whole number from {least} to {most}, not {text!r}.")
    return field, int(text)


def _name(field: str) -> str:
    column = Project._meta.get_field(field)
    assert isinstance(column, Field)  # a setting is a column, not a relation from elsewhere
    return str(column.verbose_name).capitalize()


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if value is None:
        return "the installation's"
    return "by complexity" if value == "" else str(value)
