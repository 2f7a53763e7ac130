"""Template tags and filters for states, numbers and untrusted text, the same on every page."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import template
from django.conf import settings
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.html import conditional_escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from batches.core.text import words
from batches.core.text.state_styles import state_icon, state_word, style_name, style_of

register = template.Library()
register.filter("look", style_name)
register.filter("sign", state_icon)
register.filter(state_word)

SEGMENTS = ("succeeded", "stale", "running", "failed", "blocked", "cancelled", "queued")
SPOKEN = {"stale": "succeeded, but not green"}


@register.simple_tag
def icon(name: str) -> SafeString:
    """A decorative icon from templates/icons; the text beside it carries the meaning."""
    return render_to_string(f"icons/{name}.svg")


def _some(value: Any) -> Any:
    """None for "", which templates give for an attribute of None; else the value."""
    return None if value == "" else value


@register.simple_tag
def pill(state: str, word: str = "", large: bool = False) -> SafeString:
    """A state as icon and word, never by colour alone."""
    style = style_of(state)
    return format_html(
        '<span class="pill{}" data-state="{}"><span class="pill-icon" aria-hidden="true">{}</span>{}</span>',
        " pill-l" if large else "",
        style.name,
        style.icon,
        word or style.word,
    )


@register.simple_tag
def segments(counts: Mapping[str, int], size: str = "") -> SafeString:
    """A bar with one segment per state, and the counts as text for screen readers."""
    total = sum(counts.values())
    if not total:
        return format_html('<span class="bar {}" role="img" aria-label="no phases"></span>', size)
    rects, start = [], 0.0
    for state in SEGMENTS:
        count = counts.get(state, 0)
        if count:
            width = 100 * count / total
            rects.append((state, f"{start:.3f}%", f"{width:.3f}%"))
            start += width
    spoken = ", ".join(f"{counts[state]} {SPOKEN.get(state, state)}" for state in SEGMENTS if counts.get(state))
    return format_html(
        '<span class="bar {}" role="img" aria-label="{}"><svg preserveAspectRatio="none" aria-hidden="true">{}</svg></span>',
        size,
        spoken,
        format_html_join("", '<rect class="seg" data-state="{}" x="{}" width="{}" height="100%"/>', rects),
    )


@register.simple_tag
def mini_bars(batches: Sequence[Any]) -> SafeString:
    """One bar a batch, oldest first: as high as its run was long, in the colour of its state, and a link to it. Needs `with_state`."""
    took = [(batch.run_ended_at - batch.run_started_at).total_seconds() if batch.run_started_at else 0.0 for batch in batches]
    longest = max(took, default=0.0) or 1.0
    bars = format_html_join(
        "",
        '<a href="{}" data-state="{}" title="{}"><svg aria-hidden="true"><rect class="fill" y="{}%" width="100%" height="{}%"/></svg>'
        '<span class="vh">{}</span></a>',
        (
            (
                *(reverse("batches:detail", args=[batch.number]), style_name(batch.run_state), _mini_words(batch, seconds)),
                *(f"{100 - height:.0f}", f"{height:.0f}", _mini_words(batch, seconds)),
            )
            for batch, seconds in zip(batches, took, strict=True)
            for height in (max(8.0, 100 * seconds / longest),)
        ),
    )
    return format_html('<span class="mini">{}</span>', bars)


def _mini_words(batch: Any, seconds: float) -> str:
    return f"Batch {batch.number}: {state_word(batch.run_state)}, {words.duration(seconds)}"


@register.filter
def shown(text: object) -> SafeString:
    """Untrusted text, escaped, with invisible and reordering characters shown by name."""
    parts = words.visible_parts("" if text is None else str(text))
    return mark_safe(  # noqa: S308 -- every part is escaped here
        "".join(f'<span class="odd">{part.text}</span>' if part.odd else conditional_escape(part.text) for part in parts)
    )


_CODE = re.compile(r"(`{1,2})([^`\n]+)\1")


@register.filter
def coded(text: object) -> SafeString:
    """Like `shown`, with what stands in back-ticks as code."""
    parts = _CODE.split("" if text is None else str(text))  # prose, ticks, code, prose, …
    told = (shown(part) if at % 3 == 0 else format_html("<code>{}</code>", shown(part)) for at, part in enumerate(parts) if at % 3 != 1)
    return mark_safe("".join(told))  # noqa: S308 -- every part is escaped by `shown`


@register.filter
def plain(text: object) -> str:
    """Like `shown` without markup, for attributes and titles."""
    return words.visible("" if text is None else str(text))


@register.filter
def unticked(text: str) -> str:
    """A gate's text without the back-ticks around all of it, to compare it with the command that it names."""
    stripped = text.strip()
    return stripped[1:-1] if len(stripped) > 1 and stripped[0] == stripped[-1] == "`" and "`" not in stripped[1:-1] else stripped


@register.filter
def no_ansi(text: object) -> str:
    """Terminal output without its colours."""
    return words.strip_ansi("" if text is None else str(text))


@register.filter
def duration(seconds: float | None) -> str:
    return words.duration(_some(seconds))


@register.filter
def hours(value: float | None) -> str:
    return words.hours(_some(value))


@register.filter
def tokens(count: int | None) -> str:
    return words.tokens(_some(count))


@register.filter
def usd(amount: Decimal | float | None) -> str:
    return words.usd(_some(amount))


@register.filter
def usd_sum(amount: Decimal | float | None, unpriced: int | None) -> str:
    return words.usd_sum(_some(amount), unpriced or 0)


@register.filter
def bytes_words(count: int | None) -> str:
    return words.bytes_words(_some(count))


@register.filter
def known(value: object) -> object:
    """The value, or a dash when there is none."""
    return words.UNKNOWN if value is None or value == "" else value


@register.filter
def percent(share: Any) -> str:
    if _some(share) is None:
        return words.UNKNOWN
    return "<1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


@register.filter
def short(commit: str) -> str:
    """The first eight characters of a commit."""
    return commit[:8] if commit else words.UNKNOWN


@register.filter
def spaced(name: str) -> str:
    """An identifier as words: merge_conflict → merge conflict."""
    return (name or "").replace("_", " ")


@register.filter
def item(mapping: Mapping[object, object], key: object) -> object:
    return mapping.get(key)


@register.simple_tag
def age(moment: datetime | None, mode: str = "", limit: float = 0) -> SafeString:
    """The time since `moment`, updated by the browser; mode "ago" adds the word. Late after half of `limit`."""
    if not moment:
        return SafeString(words.UNKNOWN)
    seconds = max(0.0, (timezone.now() - moment).total_seconds())
    return format_html(
        '<time datetime="{}" data-age="{}"{}>{}{}</time>',
        words.stamp(moment),
        mode or "span",
        format_html(' data-limit="{}"', f"{limit:g}") if limit else "",
        words.duration(float(int(seconds))) if seconds >= 10 else f"{int(seconds)} s",
        " ago" if mode == "ago" else "",
    )


@register.simple_tag
def countdown(until: datetime | None) -> SafeString:
    """The time until `until`, updated by the browser."""
    if not until:
        return SafeString(words.UNKNOWN)
    seconds = max(0.0, (until - timezone.now()).total_seconds())
    return format_html(
        '<time datetime="{}" data-age="until">{}</time>',
        words.stamp(until),
        words.duration(float(int(seconds))) if seconds >= 10 else f"{int(seconds)} s",
    )


FORMS = {"Y-m-d H:i": "%Y-%m-%d %H:%M", "H:i:s": "%H:%M:%S", "Y-m-d H:i:s": "%Y-%m-%d %H:%M:%S"}


@register.simple_tag
def moment(at: datetime | None, form: str = "Y-m-d H:i") -> SafeString:
    """A point in time: in the installation's zone, and with JavaScript in the zone of whoever looks."""
    if not at:
        return SafeString(words.UNKNOWN)
    text = timezone.localtime(at).strftime(FORMS[form])
    return format_html('<time datetime="{}" data-form="{}">{}</time>', words.stamp(at), form, text)


@register.simple_tag
def when(at: datetime | None) -> SafeString:
    """How long ago, such as "3 min ago", updated by the browser; after a week the date. Its title is the time."""
    if not at:
        return SafeString(words.UNKNOWN)
    local, seconds = timezone.localtime(at), max(0.0, (timezone.now() - at).total_seconds())
    text = words.ago(seconds) or local.strftime(FORMS["Y-m-d H:i"])
    title = local.strftime("%Y-%m-%d %H:%M:%S %Z")
    return format_html('<time datetime="{}" data-age="when" title="{}">{}</time>', words.stamp(at), title, text)


@register.simple_tag
def zone() -> str:
    """The name of the installation's time zone."""
    return timezone.localtime().strftime("%Z") or settings.TIME_ZONE


IDLE_POLLS = 8  # times the polling interval of a live page


@register.simple_tag
def poll(live: bool = True) -> str:
    """The htmx trigger of a live element. `ce:now` polls when the tab is shown. What only waits polls rarely."""
    return f"every {settings.CE_POLL_SECONDS * (1 if live else IDLE_POLLS):g}s, ce:now"


@register.simple_tag(takes_context=True)
def query(context: template.Context, **changes: object) -> str:
    """The query string with `changes`, without empty values, and without the page number unless it is given."""
    values = context["request"].GET.copy()
    values.pop("page", None)
    for name, value in changes.items():
        values.pop(name, None)
        if value not in ("", None):
            values[name] = str(value)
    return f"?{values.urlencode()}" if values else "?"


@register.simple_tag(takes_context=True)
def sort_head(context: template.Context, name: str, label: str) -> SafeString:
    """The head of a column to sort the list by: the largest first, then the smallest first, then as before."""
    now = str(context.get("sort", ""))
    following = {f"-{name}": name, name: ""}.get(now, f"-{name}")
    direction = {f"-{name}": "descending", name: "ascending"}.get(now, "none")
    arrow = {"descending": " ↓", "ascending": " ↑", "none": ""}[direction]
    return format_html(
        '<th scope="col" class="num" aria-sort="{}"><a class="sort" href="{}">{}<span aria-hidden="true">{}</span></a></th>',
        *(direction, query(context, sort=following), label, arrow),
    )


@register.filter
def listed(items: Sequence[object]) -> str:
    """The items separated by commas, or a dash."""
    return ", ".join(str(each) for each in items) or words.UNKNOWN


@register.simple_tag
def bar(value: float | Decimal | None, longest: float | Decimal | None, target: float | None = None) -> SafeString:
    """One bar of a chart, relative to the longest. A target is a dashed line."""
    full = float(longest or 0)
    width = 0.0 if value is None or not full else max(0.5, 100 * float(value) / full)
    mark = ""
    if target is not None and full:
        place = f"{100 * target / full:.2f}%"
        mark = format_html('<line class="target" x1="{0}" x2="{0}" y1="0" y2="100%"/>', place)
    return format_html('<svg aria-hidden="true"><rect class="fill" width="{}%" height="100%"/>{}</svg>', f"{width:.2f}", mark)
