"""The style, icon and word of each state, the same on every page. Colour never carries the meaning alone."""

from collections.abc import Mapping
from typing import NamedTuple

from batches.core.text.words import UNKNOWN


class StateStyle(NamedTuple):
    """`name` is one of the seven styles of the style sheet (`data-state`), `icon` one character, `word` the text."""

    name: str
    icon: str
    word: str


# state of a run, task, gate, file or review -> its style
STATE_STYLES: Mapping[str, StateStyle] = {
    "pending": StateStyle("queued", "○", "queued"),
    "queued": StateStyle("queued", "○", "queued"),
    "planned": StateStyle("queued", "○", "not started"),
    "paused": StateStyle("stale", "‖", "paused"),
    "launching": StateStyle("running", "◔", "starting"),
    "running": StateStyle("running", "◐", "running"),
    "succeeded": StateStyle("succeeded", "✓", "succeeded"),
    # of the kinds of success only the verified one is green
    "not_verified": StateStyle("stale", "!", "succeeded, not verified"),
    "changed_nothing": StateStyle("stale", "!", "succeeded, changed nothing"),
    "needs_look": StateStyle("stale", "!", "succeeded, needs a look"),
    "accepted_by_person": StateStyle("succeeded", "☑", "succeeded, accepted by a person"),
    "passed": StateStyle("succeeded", "✓", "passed"),
    "success": StateStyle("succeeded", "✓", "success"),
    "ok": StateStyle("succeeded", "✓", "ok"),
    "failed": StateStyle("failed", "✕", "failed"),
    "error": StateStyle("failed", "✕", "error"),
    "blocked": StateStyle("blocked", "⊘", "blocked"),
    "cancelled": StateStyle("cancelled", "–", "cancelled"),
    "deferred": StateStyle("queued", "○", "put off"),
    "repaired": StateStyle("stale", "↻", "sent to repair"),
    "stale": StateStyle("stale", "!", "no heartbeat"),
    "asks": StateStyle("stale", "?", "waits for you"),
    "stuck": StateStyle("stale", "!", "no progress"),
    "warning": StateStyle("stale", "!", "warning"),
    "unknown": StateStyle("queued", "?", "unknown"),
    "unverified": StateStyle("stale", "!", "unverified"),
    "flaky": StateStyle("stale", "↻", "flaky"),
    "ticked": StateStyle("queued", "☑", "signed off"),  # a person said so, no check did: never green
    # what happened to a file
    "created": StateStyle("succeeded", "+", "created"),
    "modified": StateStyle("succeeded", "~", "modified"),
    "deleted": StateStyle("failed", "−", "deleted"),
    "untouched": StateStyle("queued", "○", "untouched"),
    "undeclared": StateStyle("stale", "!", "undeclared"),
    # decisions about an update of the context
    "unchanged": StateStyle("queued", "○", "nothing to change"),
    "proposed": StateStyle("stale", "!", "proposed"),
    "accepted": StateStyle("succeeded", "✓", "accepted"),
    # verdicts, severities and bands of reviews
    "approved": StateStyle("succeeded", "✓", "approved"),
    "approved_with_warnings": StateStyle("stale", "!", "approved with warnings"),
    "needs_revision": StateStyle("failed", "✕", "needs revision"),
    "rejected": StateStyle("failed", "✕", "rejected"),
    "critical": StateStyle("failed", "✕", "critical"),
    "major": StateStyle("failed", "✕", "major"),
    "minor": StateStyle("stale", "!", "minor"),
    "info": StateStyle("queued", "○", "info"),
    "low": StateStyle("succeeded", "✓", "low"),
    "medium": StateStyle("stale", "!", "medium"),
    "high": StateStyle("failed", "✕", "high"),
}
UNKNOWN_STYLE = StateStyle("queued", "○", UNKNOWN)


def style_of(state: str | None) -> StateStyle:
    """The style of a state. An unknown state looks like a queued one and has no word."""
    return STATE_STYLES.get(state or "", UNKNOWN_STYLE)


def style_name(state: str | None) -> str:
    """The name of a state's style, one of seven."""
    return style_of(state).name


def state_icon(state: str | None) -> str:
    """The icon of a state, for titles."""
    return style_of(state).icon


def state_word(state: str | None) -> str:
    """The word of a state, as its pill shows it."""
    return style_of(state).word
