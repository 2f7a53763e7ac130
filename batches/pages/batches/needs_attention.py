"""What of a batch needs a person."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from batches.core.engine.failure_reasons import why
from batches.core.engine.states import TaskState
from batches.core.text.excerpt import excerpt
from batches.core.text.words import strip_ansi
from batches.models import (
    Attempt,
    GateCheck,
    PredictedConflict,
    Task,
)
from batches.pages.batches.phase_cards import StageCard

ATTENTION_SHOWN = 8
GATE_LINES_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Attention:
    """Something that needs a person: a failure, silence, no progress, a failed stage check, a predicted conflict."""

    element_id: str
    state: str
    title: str
    key: str
    text: str
    task: Task | None
    late_since: datetime | None = None
    stuck_since: datetime | None = None
    activity: str = ""  # of an agent that is stuck
    lines: str = ""  # of what its first failed gate printed


def gate_lines(attempts: Sequence[Attempt]) -> dict[int, str]:
    """{attempt: an excerpt of what its first failed gate printed} of those shown; at most one query."""
    shown = sorted(attempts, key=lambda attempt: attempt.pk)[:ATTENTION_SHOWN]
    if not shown:
        return {}
    failed = GateCheck.objects.filter(attempt__in=[attempt.pk for attempt in shown], status="failed").order_by("-pk")
    printed = dict(failed.values_list("attempt_id", "output"))
    return {attempt: excerpt(strip_ansi(output), GATE_LINES_SHOWN) for attempt, output in printed.items()}


def attention_of(stages: Sequence[StageCard], foreseen: Sequence[PredictedConflict], lines_of: Mapping[int, str]) -> list[Attention]:
    """What needs a person, by stage, then what will collide. `lines_of` are the lines of `gate_lines`."""
    found: list[Attention] = []
    for stage in stages:
        for card in stage.cards:
            if card.looks:
                text = f"{card.looks[0]}{f', and {len(card.looks) - 1} more' if len(card.looks) > 1 else ''}"
                found.append(Attention(f"why-{card.element_id}", "needs_look", card.phase.title, card.phase.key, text, card.task))
            elif card.state == TaskState.FAILED and card.task:
                lines = lines_of.get(card.attempt.pk, "") if card.attempt else ""
                name, phase = f"why-{card.element_id}", card.phase
                found.append(Attention(name, "failed", phase.title, phase.key, card.why, card.task, lines=lines))
            elif card.question is not None:
                text = f"Its agent asks: {card.question['text']}"
                found.append(Attention(f"why-{card.element_id}", "asks", card.phase.title, card.phase.key, text, card.task))
            elif card.late and card.attempt:
                seen = card.attempt.last_beat_at or card.attempt.launched_at
                found.append(Attention(f"why-{card.element_id}", "stale", card.phase.title, card.phase.key, "", card.task, seen))
            elif card.stuck and card.attempt:
                since = card.attempt.last_progress_at
                name = f"why-{card.element_id}"
                doing = card.attempt.activity
                found.append(Attention(name, "stuck", card.phase.title, card.phase.key, "", card.task, None, since, doing))
        if stage.check and stage.check.state == TaskState.FAILED:
            name = f"Gates of stage {stage.stage.number} on the merged tree"
            text = why(stage.check.reason, stage.check.message)
            found.append(Attention(f"why-stage-{stage.stage.number}", "failed", name, "", text, stage.check))
    met: dict[tuple[str, ...], list[str]] = {}
    for one in foreseen:
        met.setdefault(tuple(one.phases), []).append(one.file)
    for keys, files in met.items():
        title = f"Phases {' and '.join(keys)} will collide" if len(keys) > 1 else f"Phase {keys[0]} will collide with what is merged"
        named = ", ".join(files[:5]) + (f" and {len(files) - 5} more" if len(files) > 5 else "")
        text = f"{named}: as they stand now these cannot be merged. The later one would fail; a retry works on top of the other."
        found.append(Attention(f"why-meet-{'-'.join(keys)}", "warning", title, "", text, None))
    return found
