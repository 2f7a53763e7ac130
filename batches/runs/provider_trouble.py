"""Trouble with the provider that every attempt of a backend meets, as columns of runs (docs/limits.md)."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from batches.core.engine.decide import Trouble
from batches.models import Batch, Run
from subagents.contract import Fault

NO_TROUBLE: Mapping[str, object] = MappingProxyType(
    {
        "trouble": "",
        "trouble_message": "",
        "trouble_since": None,
        "trouble_paused_at": None,
        "trouble_until": None,
        "trouble_holds": 0,
    }
)
# {fault: (what it is, what a person can do)}
WORDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        Fault.UNREACHABLE: ("No network to the API", "It is tried by itself until it can be reached."),
        Fault.OVERLOADED: ("The API is overloaded", "It is tried by itself until it answers."),
        Fault.KEY_REFUSED: ("The API key is refused", "Enter a valid key on the page Settings, then press Try now."),
        Fault.NO_CREDIT: ("The credit of the API account is used up", "Add credit to the account, then press Try now."),
        Fault.UNKNOWN_MODEL: ("The API does not know the model", "Choose another model with Resume, or ask the provider for access."),
    }
)


def trouble_of(run: Run) -> Trouble | None:
    """The run's trouble as decisions see it; None when there is none."""
    if not run.trouble or run.trouble_paused_at is None or run.trouble_until is None:
        return None
    return Trouble(run.trouble, run.trouble_paused_at, run.trouble_until, run.trouble_holds)


def trouble_words(run: Run) -> tuple[str, str]:
    """(what the trouble is, what a person can do about it)."""
    return WORDS.get(run.trouble, (run.trouble.replace("_", " ").capitalize(), "It is tried by itself."))


def columns_of(run: Run, fault: str, until: datetime, message: str, now: datetime) -> dict[str, object]:
    """The columns of a run whose attempt met the trouble now; one that several attempts meet counts once."""
    known = trouble_of(run)
    if known is not None and known.waits(now):
        return {"trouble_until": max(until, known.until)}
    return {
        "trouble": fault,
        "trouble_message": message,
        "trouble_since": run.trouble_since if run.trouble == fault and run.trouble_since else now,
        "trouble_paused_at": now,
        "trouble_until": until,
        "trouble_holds": run.trouble_holds + 1,
    }


def hold_others(run_id: int) -> None:
    """Let the other live runs of the backend wait as this one does: they use the same API and the same key.

    A model that is unknown is a matter of the run that has chosen it. Not in the transaction of the run that met the trouble.
    """
    met = Run.objects.get(pk=run_id)
    if not met.trouble or met.trouble == Fault.UNKNOWN_MODEL:
        return
    _hold(met.backend, {name: getattr(met, name) for name in NO_TROUBLE}, met.trouble_until, but=run_id)


def hold_backend(backend: str, fault: str, until: datetime, message: str, now: datetime) -> None:
    """Let the live runs of a backend wait for trouble that something else met with the same key, such as an idea."""
    if fault == Fault.UNKNOWN_MODEL:
        return
    met = {"trouble": fault, "trouble_message": message, "trouble_since": now, "trouble_paused_at": now, "trouble_until": until}
    _hold(backend, met | {"trouble_holds": 1}, until)


def _hold(backend: str, columns: Mapping[str, object], until: datetime | None, *, but: int = 0) -> None:
    others = Run.objects.live().filter(backend=backend).exclude(pk=but).exclude(trouble_until__gte=until)
    for pk, batch in others.order_by("pk").values_list("pk", "batch_id"):
        if Run.objects.live().filter(pk=pk).update(**columns):
            Batch.objects.bump(batch)


def trouble_of_others(backend: str) -> dict[str, object]:
    """The columns of a new run of the backend, where other runs of it are in trouble."""
    known = Run.objects.live().filter(backend=backend).exclude(trouble__in=("", Fault.UNKNOWN_MODEL))
    met = known.order_by("-trouble_until").first()
    return {name: getattr(met, name) for name in NO_TROUBLE} if met is not None else {}
