"""Pieces of a live page in the first render; later they come one by one."""

from collections.abc import Mapping

from django import template
from django.utils.safestring import SafeString, mark_safe

from batches.core.text.fragments import render_all

register = template.Library()


@register.simple_tag
def whole(fragments: Mapping[str, str], *names: str) -> SafeString:
    """The named pieces, which templates of ours have rendered and escaped already."""
    return mark_safe(render_all(fragments, *names))


@register.simple_tag
def stages(fragments: Mapping[str, str]) -> SafeString:
    """All stages in order."""
    return whole(fragments, *(name for name in fragments if name.startswith("stage-") and "/" not in name))
