"""Pieces of a live page in the first render; later they come one by one."""

from collections.abc import Mapping

from django import template
from django.utils.safestring import SafeString, mark_safe

register = template.Library()


@register.simple_tag
def whole(fragments: Mapping[str, str], *names: str) -> SafeString:
    """The named pieces, which templates of ours have rendered and escaped already."""
    from batches.views.live import whole as joined

    return mark_safe(joined(fragments, *names))


@register.simple_tag
def stages(fragments: Mapping[str, str]) -> SafeString:
    """All stages in order."""
    return whole(fragments, *(name for name in fragments if name.startswith("stage-") and "/" not in name))
