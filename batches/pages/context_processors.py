"""Template context of every page: the theme, the server's time, and the section of the site."""

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.utils import timezone

from batches.accounts.access import may_anywhere
from batches.accounts.roles import WRITE_PLANS
from batches.pages.batches.pulse import Pulse

THEMES = ("auto", "light", "dark")
# Paths whose first part is not the name of the section.
SECTIONS = {"new-project": "projects", "users": "settings", "teams": "settings", "audit": "settings", "audit.csv": "settings"}


def page(request: HttpRequest) -> dict[str, object]:
    """Context of base.html. The theme comes from a cookie, so that the first paint has the right colours."""
    theme = request.COOKIES.get("theme", "auto")
    path = request.path
    return {
        "theme": theme if theme in THEMES else "auto",
        "server_now": timezone.now(),
        "writes_plans": may_anywhere(getattr(request, "user", AnonymousUser()), WRITE_PLANS),  # a refused host name comes before users
        "pulse": Pulse(path),
        "section": SECTIONS.get(part := path.strip("/").partition("/")[0], part),
    }
