"""Version 1: projects."""

from collections.abc import Iterable
from typing import Any

from django.http import HttpRequest
from django.shortcuts import get_object_or_404

from batches.models import Project
from batches.pages.api.endpoint import BadRequest
from batches.pages.api_v1.application import api
from batches.pages.api_v1.pages import Cursor, Limit, part_of
from batches.pages.api_v1.shapes import Projects, ProjectShape

FIELDS = ("slug", "name", "base_branch", "backend")


@api.get("projects/", response=Projects, url_name="projects", tags=["projects"], summary="List projects")
def projects(request: HttpRequest, cursor: Cursor = "", limit: Limit = 50) -> dict[str, Any]:
    """The projects that the token may see, the newest first."""
    return part_of(Project.objects.all(), "pk", cursor, limit, _shown)


@api.get("projects/{slug}/", response=ProjectShape, url_name="project", tags=["projects"], summary="Read a project")
def project(request: HttpRequest, slug: str) -> dict[str, Any]:
    """One project."""
    return project_json(get_object_or_404(Project, slug=slug))


def _shown(rows: list[Project]) -> Iterable[dict[str, Any]]:
    return map(project_json, rows)


def project_json(found: Project) -> dict[str, Any]:
    return {name: getattr(found, name) for name in FIELDS}


def named(slug: str) -> Project | None:
    """The project that a parameter names; None for "". Raises BadRequest."""
    found = Project.objects.filter(slug=slug).first() if slug else None
    if slug and found is None:
        raise BadRequest(f"There is no project {slug!r} that this token may see.")
    return found
