"""Version 1: projects, their settings and members."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Annotated, Any

from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Path

from batches.accounts.roles import ADD_PROJECT, CHANGE_PROJECT
from batches.models import Membership, Project
from batches.pages.api.endpoint import BadRequest
from batches.pages.api_v1.application import actor_of, api
from batches.pages.api_v1.pages import Cursor, Limit, part_of
from batches.pages.api_v1.shapes import (
    ArchiveShape,
    DeletionShape,
    DryRun,
    MemberBody,
    Members,
    MemberShape,
    Projects,
    ProjectShape,
    SettingsBody,
    SettingsShape,
)
from batches.pages.common import LARGEST_ID
from batches.pages.projects.settings_by_name import change_settings, settings_of
from batches.projects import deletion
from batches.projects.archive import archive_project
from batches.projects.members import remove_member, set_member

TAGS = ["projects"]
Slug = Annotated[str, Path(max_length=80, description="The slug of a project.", examples=["shop"])]
MemberId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="The id of a membership.", examples=[5])]
FIELDS = ("slug", "name", "base_branch", "backend")


@api.get("projects/", response=Projects, url_name="projects", tags=["projects"], summary="List projects")
def projects(request: HttpRequest, cursor: Cursor = "", limit: Limit = 50) -> dict[str, Any]:
    """The projects that the token may see, the newest first."""
    return part_of(Project.objects.all(), "pk", cursor, limit, _shown)


@api.get("projects/{slug}/", response=ProjectShape, url_name="project", tags=["projects"], summary="Read a project")
def project(request: HttpRequest, slug: str) -> dict[str, Any]:
    """One project."""
    return project_json(get_object_or_404(Project, slug=slug))


@api.delete("projects/{slug}/", response=DeletionShape, url_name="project", tags=TAGS, summary="Delete a project")
def delete_project(request: HttpRequest, slug: Slug, dry_run: DryRun = "") -> dict[str, Any]:
    """With all its batches, plans and ideas. The repository stays."""
    found, actor = get_object_or_404(Project, slug=slug), actor_of(request)
    actor.require(ADD_PROJECT, None)
    return told(deletion.project_deletion(found), lambda: deletion.delete_project(project=found, actor=actor), dry_run)


@api.put("projects/{slug}/archive/", response=ArchiveShape, url_name="archive_project", tags=TAGS, summary="Archive a project")
def put_project_away(request: HttpRequest, slug: Slug) -> dict[str, Any]:
    """Lists hide it and its batches, and nothing starts in it. Nothing is deleted."""
    return _archived(request, slug, back=False)


@api.delete("projects/{slug}/archive/", response=ArchiveShape, url_name="archive_project", tags=TAGS, summary="Bring a project back")
def bring_project_back(request: HttpRequest, slug: Slug) -> dict[str, Any]:
    """Lists show it again."""
    return _archived(request, slug, back=True)


def _archived(request: HttpRequest, slug: str, *, back: bool) -> dict[str, Any]:
    found = get_object_or_404(Project, slug=slug)
    archive_project(project=found, actor=actor_of(request), back=back)
    found.refresh_from_db()
    return archive_json(found.name, found.archived_at)


def archive_json(name: str, at: datetime | None) -> dict[str, Any]:
    return {"name": name, "archived": at is not None, "archived_at": at}


def told(found: deletion.Deletion, verb: Callable[[], str], dry_run: str) -> dict[str, Any]:
    """Delete, unless that is only asked about; the answer. Raises ServiceError."""
    if not dry_run:
        verb()
    return {"name": found.name, "deleted": not dry_run, "goes": found.goes, "stays": found.stays, "refusals": found.refusals}


@api.get("projects/{slug}/settings/", response=SettingsShape, url_name="settings", tags=TAGS, summary="Read the settings")
def settings(request: HttpRequest, slug: Slug) -> dict[str, Any]:
    """The settings by name, as they are kept. Secrets are never told."""
    found = administered(request, slug)
    return {"project": found.slug, "settings": settings_of(found)}


@api.put("projects/{slug}/settings/", response=SettingsShape, url_name="settings", tags=TAGS, summary="Change settings")
def set_settings(request: HttpRequest, slug: Slug, sent: SettingsBody) -> dict[str, Any]:
    """Change the named settings; the others stay. Secrets and the code host are entered on their pages."""
    found = administered(request, slug)
    change_settings(project=found, changes=sent.settings, actor=actor_of(request))
    return {"project": found.slug, "settings": settings_of(found)}


@api.get("projects/{slug}/members/", response=Members, url_name="members", tags=TAGS, summary="List members")
def members(request: HttpRequest, slug: Slug, cursor: Cursor = "", limit: Limit = 50) -> dict[str, Any]:
    """People and teams that are members, the newest first."""
    rows = administered(request, slug).memberships.select_related("user", "team")
    return part_of(rows, "pk", cursor, limit, lambda found: map(_member, found))


@api.put("projects/{slug}/members/", response=MemberShape, url_name="members", tags=TAGS, summary="Set a member")
def put_member(request: HttpRequest, slug: Slug, sent: MemberBody) -> dict[str, Any]:
    """Make a person or a team a member, or change the role."""
    found = administered(request, slug)
    if (sent.user is None) == (sent.team is None):
        raise BadRequest("Name a user or a team.")
    people, teams = User.objects.filter(username=sent.user, is_active=True), Group.objects.filter(name=sent.team)
    who = people.first() if sent.team is None else teams.first()
    if who is None:
        raise BadRequest(f"There is no {'person' if sent.team is None else 'team'} {sent.user or sent.team!r}.")
    set_member(project=found, who=who, role=sent.role, actor=actor_of(request))
    of = {"team": who} if isinstance(who, Group) else {"user": who}
    return _member(found.memberships.select_related("user", "team").get(**of))


@api.delete("projects/{slug}/members/{int:member}/", response=MemberShape, url_name="member", tags=TAGS, summary="End a membership")
def delete_member(request: HttpRequest, slug: Slug, member: MemberId) -> dict[str, Any]:
    """The answer tells what there was."""
    rows = administered(request, slug).memberships.select_related("project", "user", "team")
    found = get_object_or_404(rows, pk=member)
    told = _member(found)
    remove_member(membership=found, actor=actor_of(request))
    return told


def _member(row: Membership) -> dict[str, Any]:
    return {"member": row.pk, "user": row.user and row.user.username, "team": row.team and row.team.name, "role": row.role}


def administered(request: HttpRequest, slug: str) -> Project:
    """The project, for those who may change its settings. Raises Http404, PermissionDenied."""
    found = get_object_or_404(Project, slug=slug)
    actor_of(request).require(CHANGE_PROJECT, found)
    return found


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
