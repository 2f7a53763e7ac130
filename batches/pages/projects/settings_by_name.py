"""Settings of a project by name, for programs: read as they are, and changed as the project's pages do."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.db import models, transaction
from django.forms.models import model_to_dict

from batches.accounts.actor import Actor
from batches.core.errors import WrongChoice
from batches.models import Project
from batches.pages.projects.agents import ProjectAgents
from batches.pages.projects.environment import ProjectEnvironment
from batches.pages.projects.gates import ProjectGates
from batches.pages.projects.settings_form import ProjectSettings
from batches.pages.projects.tools_form import ProjectTools
from batches.projects.change_settings import update_project
from batches.projects.members import set_members_only

# Later forms ask for what earlier ones allow: pages are fetched only with the network. Secrets and the code host are in none.
FORMS: "tuple[type[forms.ModelForm[Project]], ...]" = (ProjectSettings, ProjectAgents, ProjectTools, ProjectEnvironment, ProjectGates)
NAMES = (*(name for form in FORMS for name in form._meta.fields or ()), "members_only")
Value = str | int | float | bool | list[str] | None


def settings_of(project: Project) -> dict[str, Any]:
    """{name: value} of every setting that is no secret."""
    return model_to_dict(project, NAMES)


def change_settings(*, project: Project, changes: Mapping[str, Value], actor: Actor) -> None:
    """Save these settings, checked as by pages, all or none. Raises WrongChoice, ServiceError, PermissionDenied."""
    faults = [fault for name, value in changes.items() if (fault := _fault(name, value))]
    checked: dict[str, object] = {}
    for form_class in FORMS if not faults else ():
        fields = form_class._meta.fields or ()
        if not (named := set(fields) & set(changes)):
            continue
        form = form_class({**model_to_dict(project, fields), **changes}, instance=project)
        faults += [f"{name}: {' '.join(map(str, errors))}" for name, errors in form.errors.items()]
        checked |= {name: form.cleaned_data[name] for name in named if name in form.cleaned_data}
    if faults:
        raise WrongChoice(" ".join(faults))
    project.refresh_from_db()  # the forms have put their values into it
    with transaction.atomic():
        if "members_only" in changes:
            set_members_only(project=project, closed=bool(changes["members_only"]), actor=actor)
        update_project(project=project, changes=checked, actor=actor)


def _fault(name: str, value: Value) -> str:
    """What is wrong with the kind of a value, "" if nothing is: a form would take the text "false" for yes."""
    if name not in NAMES:
        return f"There is no setting {name}."
    field = Project._meta.get_field(name)
    if isinstance(field, models.BooleanField):
        return "" if isinstance(value, bool) else f"{name} must be true or false."
    if isinstance(field, models.JSONField):
        return "" if isinstance(value, list) else f"{name} must be a list."
    if isinstance(field, models.CharField | models.TextField):
        return "" if isinstance(value, str) else f"{name} must be text."
    numbers = int | float | str if isinstance(field, models.DecimalField) else int
    fits = value is None or (isinstance(value, numbers) and not isinstance(value, bool))
    return "" if fits else f"{name} must be a number or null."
