"""What a project says of its own gates and of the environment of commands."""

import os
from collections.abc import Mapping

from django.conf import settings

from batches.core.errors import ServiceError
from batches.core.gates.project_gates import StandardGate
from batches.models import Project
from subagents.environment import why_reserved


def check_gates(changes: Mapping[str, object]) -> None:
    """Raises ServiceError for a gate command of more than one line, and for an unknown standard gate."""
    for name in ("lint", "test", "coverage"):
        if not str(changes.get(f"{name}_command", "")).isprintable():
            raise ServiceError(f"The {name} command must be one line of text; put a longer one into a script in the repository.")
    names = changes.get("standard_gates", [])
    if not isinstance(names, list) or not set(names) <= set(StandardGate):
        raise ServiceError(f"Unknown standard gate. Choose some of: {', '.join(StandardGate)}.")


def check_environment(project: Project, changes: Mapping[str, object]) -> None:
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
