"""Who is a member of a project, in which role, and whether others see it; and the teams that can be members."""

from django.contrib.auth.models import Group, User
from django.db import IntegrityError, transaction

from batches.accounts import audit_log
from batches.accounts.actor import Actor
from batches.accounts.roles import ADMIN, CHANGE_PROJECT, MANAGE_PEOPLE
from batches.accounts.users import ROLES
from batches.core.errors import ServiceError
from batches.models import Membership, Project


def set_member(*, project: Project, who: User | Group, role: str, actor: Actor) -> None:
    """Make a person or a team a member, or change the role. Raises ServiceError, PermissionDenied."""
    actor.require(CHANGE_PROJECT, project)
    if role not in Membership.Role.values:
        raise ServiceError(f"Unknown role {role!r}. Roles: {', '.join(Membership.Role.values)}.")
    if isinstance(who, Group) and who.name in ROLES:
        raise ServiceError(f"{who} is a role of the installation, not a team.")
    with transaction.atomic():
        key = {"team": who} if isinstance(who, Group) else {"user": who}
        Membership.objects.update_or_create(project=project, **key, defaults={"role": role})
        audit_log.record(audit_log.Kind.PROJECT, actor.cause, f"{project.name}: {_words(who)} is {role}")


def remove_member(*, membership: Membership, actor: Actor) -> None:
    """End a membership. Raises PermissionDenied."""
    actor.require(CHANGE_PROJECT, membership.project)
    with transaction.atomic():
        who = membership.team or membership.user
        assert who is not None  # a constraint of the table
        membership.delete()
        audit_log.record(audit_log.Kind.PROJECT, actor.cause, f"{membership.project.name}: {_words(who)} is no member any more")


def set_members_only(*, project: Project, closed: bool, actor: Actor) -> None:
    """Show the project to its members and administrators only, or to everybody again. Raises PermissionDenied."""
    actor.require(CHANGE_PROJECT, project)
    with transaction.atomic():
        if Project.objects.filter(pk=project.pk, members_only=not closed).update(members_only=closed):
            what = "its members only" if closed else "everybody with a role"
            audit_log.record(audit_log.Kind.PROJECT, actor.cause, f"{project.name} is for {what}")
    project.refresh_from_db()


def make_team(*, name: str, actor: Actor) -> Group:
    """Create a team without people. Raises ServiceError, PermissionDenied."""
    actor.require(MANAGE_PEOPLE, None)
    name = " ".join(name.split())
    if not name or len(name) > 150:
        raise ServiceError("A team needs a name of at most 150 characters.")
    try:
        with transaction.atomic():
            team = Group.objects.create(name=name)
            audit_log.record(audit_log.Kind.USER, actor.cause, f"Created the team {name}")
            return team
    except IntegrityError:
        raise ServiceError(f"There is already a team or a role called {name}.") from None


def set_people(*, team: Group, people: list[User], actor: Actor) -> None:
    """Make exactly these people the team. Raises ServiceError, PermissionDenied."""
    actor.require(MANAGE_PEOPLE, None)
    _refuse_role(team)
    with transaction.atomic():
        team.user_set.set(people)
        names = ", ".join(sorted(person.username for person in people)) or "nobody"
        audit_log.record(audit_log.Kind.USER, actor.cause, f"Team {team.name}: {names}")


def delete_team(*, team: Group, actor: Actor) -> None:
    """Delete a team, and with it its memberships. Raises ServiceError, PermissionDenied."""
    actor.require(MANAGE_PEOPLE, None)
    _refuse_role(team)
    with transaction.atomic():
        audit_log.record(audit_log.Kind.USER, actor.cause, f"Deleted the team {team.name}")
        team.delete()


def _refuse_role(team: Group) -> None:
    """A group that grants rights in the whole installation is no team: whoever is put into it would get them."""
    if team.name in ROLES or team.permissions.exists():
        raise ServiceError(f"{team} is a role of the installation, not a team ({ADMIN} changes people's roles on their own pages).")


def _words(who: User | Group) -> str:
    return f"the team {who.name}" if isinstance(who, Group) else who.username
