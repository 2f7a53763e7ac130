"""The models that the provider listed when the API key was tested last."""

from django.utils import timezone
from django.utils.formats import date_format

from batches.models import Installation


def offered_models() -> list[str]:
    """Ids of the models that the provider listed when the key was tested last; [] before that. Asks nobody."""
    return list(Installation.objects.filter(pk=1).values_list("listed_models", flat=True).first() or [])


def listed_words() -> str:
    """How old that list is, in a sentence; "" without one."""
    listed, at = Installation.objects.filter(pk=1).values_list("listed_models", "listed_at").first() or ([], None)
    if not listed:
        return ""
    when = f" {date_format(timezone.localtime(at), 'j F Y')}" if at else " some time ago"
    return f"Exact ids are offered as the provider listed them{' on' if at else ''}{when}; testing the key renews the list."
