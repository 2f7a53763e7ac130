"""What a person, or a program with a token, may see and do: by the role of the account, and as a member of projects.

In an open project the account's role counts, and a membership can add to it. In a project for members only the membership
alone counts, but for administrators of the installation, who may do everything everywhere.
"""

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Q

from batches.accounts.roles import CHANGE_PROJECT, MEMBER_ROLES, VIEW_BATCH
from batches.models import ApiToken, Membership, Project
from batches.models.visibility import NOTHING, Sight

AnyUser = User | AnonymousUser
_CACHE = "_roles_in_projects"  # on the user, who is loaded anew for each request


def may(user: AnyUser, permission: str, project: Project | None) -> bool:
    """Whether the user has `permission` in the project; None: in the installation, or for a plan without a project."""
    if not user.is_authenticated or not user.is_active:
        return False
    if project is None or user.has_perm(CHANGE_PROJECT) or (not project.members_only and user.has_perm(permission)):
        return user.has_perm(permission)
    return any(permission in MEMBER_ROLES[role] for role in roles_in_projects(user).get(project.pk, ()))


def may_anywhere(user: AnyUser, permission: str) -> bool:
    """Whether the user has `permission` in some project, or outside of any: for links that lead to a choice."""
    if not user.is_authenticated or not user.is_active:
        return False
    if user.has_perm(permission):
        return True
    return any(permission in MEMBER_ROLES[role] for role in set[str]().union(*roles_in_projects(user).values()))


def roles_in_projects(user: User) -> dict[int, set[str]]:
    """{id of a project: the roles that the user has there, directly and by teams}."""
    found: dict[int, set[str]] | None = getattr(user, _CACHE, None)
    if found is None:
        found = {}
        rows = Membership._base_manager.filter(Q(user=user) | Q(team__user=user)).values_list("project_id", "role")
        for project, role in rows:
            found.setdefault(project, set()).add(role)
        setattr(user, _CACHE, found)
    return found


def sight_of(user: AnyUser, token: ApiToken | None = None) -> Sight | None:
    """The rows that the user may see, None for all; with a token for one project, those of that project."""
    if not user.is_authenticated or not user.is_active:
        return NOTHING
    sight = None if user.has_perm(CHANGE_PROJECT) else _sight_by_role(user)
    if token is None or token.project_id is None:
        return sight
    only = frozenset({token.project_id})
    return Sight(only if sight is None else only & sight.projects)


def _sight_by_role(user: User) -> Sight | None:
    if not user.has_perm(VIEW_BATCH):
        return Sight(frozenset(roles_in_projects(user)))
    closed = set(Project._base_manager.filter(members_only=True).values_list("pk", flat=True))
    if not closed:
        return None
    opened = Project._base_manager.filter(members_only=False).values_list("pk", flat=True)
    return Sight(frozenset(opened) | (closed & set(roles_in_projects(user))), plans_without_project=True)
