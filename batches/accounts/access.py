"""What a person, or a program with a token, may see."""

from django.contrib.auth.models import AnonymousUser, User

from batches.models import ApiToken
from batches.models.visibility import NOTHING, Sight


def sight_of(user: User | AnonymousUser, token: ApiToken | None = None) -> Sight | None:
    """The rows that requests of the user may see, None for all; those of a token with a project, that project's alone."""
    if not user.is_authenticated:
        return NOTHING
    if token is not None and token.project_id is not None:
        return Sight(frozenset({token.project_id}))
    return None
