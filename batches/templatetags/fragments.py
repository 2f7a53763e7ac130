"""Fragments of a live page in its first rendering; polls send them one by one."""

from collections.abc import Mapping

from django import template
from django.utils.safestring import SafeString, mark_safe

from batches.core.text.fragments import render_all

register = template.Library()


@register.simple_tag
def whole(fragments: Mapping[str, str], *names: str) -> SafeString:
    """The named fragments, already rendered and escaped by our templates."""
    return mark_safe(render_all(fragments, *names))  # noqa: S308 -- rendered templates, which escape


@register.simple_tag
def stages(fragments: Mapping[str, str]) -> SafeString:
    """All stages in order."""
    return whole(fragments, *(name for name in fragments if name.startswith("stage-") and "/" not in name))
