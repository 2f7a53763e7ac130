"""A person's word about a gate that no rule can check, or about a phase as it is: given with a reason, withdrawn with another, never
forgotten."""

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.accounts.roles import SIGN_OFF_GATE
from batches.core.engine.states import Operation
from batches.core.errors import ServiceError
from batches.core.gates.ledger import Entry, GateState
from batches.core.gates.success import OPEN
from batches.gates.ledger import read_ledger
from batches.metrics.facts import record_attempts
from batches.metrics.successes import successes_of_phases
from batches.models import Attempt, Batch, Gate, Phase, Project, SignOff

REASON_CHARACTERS = 2000


def sign_off(*, gate: Gate, reason: str, actor: Actor) -> SignOff:
    """Note that a signed-in person found the gate to hold, and why; it speaks for the attempt that is there now, not for a later one.

    Raises ServiceError for a gate that was judged by the server, or whose phase has not succeeded; PermissionDenied.
    """
    name = _person(actor, gate.phase.batch.project)
    words = _reason(reason, "Say why it holds: what you looked at. It stays beside your name.")
    batch = gate.phase.batch
    entry = next(one for one in read_ledger(batch, gate.phase.key) if one.gate == gate.pk)
    _refuse(gate, entry)
    assert entry.in_phase is not None  # what is unverified was judged
    attempt = Attempt.objects.defer("spec", "log_tail").get(pk=entry.in_phase.attempt)
    if attempt.outcome != Attempt.Outcome.SUCCEEDED:
        raise ServiceError(f"Phase {gate.phase.key} has not succeeded; retry it first, then sign off what is left.")
    taken = "Somebody signed off this gate just now."
    return _write(actor, gate.phase, taken, attempt=attempt, gate=gate, commit=entry.in_phase.commit, name=name, reason=words)


def _write(actor: Actor, phase: Phase, taken: str, *, attempt: Attempt, **columns: object) -> SignOff:
    """Write a sign-off, and the attempt's new figures. Raises ServiceError (`taken`) when somebody was first."""
    commit = attempt.merge_commit or attempt.head_commit
    said = {"attempt": attempt, "commit": commit, "user": actor.user, "at": timezone.now()} | columns
    with transaction.atomic():
        try:
            with transaction.atomic():
                made = SignOff.objects.create(**said)
        except IntegrityError:
            raise ServiceError(taken) from None
        record_attempts([attempt.pk])
        Batch.objects.bump(phase.batch_id)
    return made


def _refuse(gate: Gate, entry: Entry) -> None:
    if entry.state == GateState.SIGNED_OFF and entry.sign_off is not None:
        raise ServiceError(f"This gate is signed off already, by {entry.sign_off.name}.")
    if entry.state == GateState.PLANNED or entry.in_phase is None:
        raise ServiceError(f"Phase {gate.phase.key} has not been judged yet; there is nothing to sign off.")
    if entry.state != GateState.UNVERIFIED:
        raise ServiceError(f"The server judged this gate itself: {entry.state}. Only what no rule can check is signed off.")


def accept_phase(*, phase: Phase, reason: str, actor: Actor) -> SignOff:
    """Note that a signed-in person accepts a phase that succeeded, and is not green, as it is; for the attempt that is there now.

    That covers all that is open about it: what needs a look, that it changed nothing, that nobody could check it.
    Raises ServiceError when nothing is open, PermissionDenied.
    """
    name = _person(actor, phase.batch.project)
    words = _reason(reason, "Say why it is right as it is: what you looked at. It stays beside your name.")
    success = successes_of_phases([phase.batch_id]).get(phase.batch_id, {}).get(phase.pk)
    if success is None:
        raise ServiceError(f"Phase {phase.key} has not succeeded; there is nothing to accept.")
    if success.accepted_by:
        raise ServiceError(f"Phase {phase.key} is accepted already, by {success.accepted_by}.")
    if success.kind not in OPEN:
        raise ServiceError(f"Phase {phase.key} is verified; there is nothing to accept.")
    executed = Attempt.objects.filter(task__phase=phase, task__run__operation=Operation.EXECUTE, outcome=Attempt.Outcome.SUCCEEDED)
    attempt = executed.order_by("task__run__number", "number").last()
    assert attempt is not None  # a success has one
    taken = f"Somebody accepted phase {phase.key} just now."
    return _write(actor, phase, taken, attempt=attempt, accepted=success.kind, name=name, reason=words)


def acceptances_of(phase: Phase) -> list[SignOff]:
    """Every acceptance of the phase, the newest first; also those of earlier attempts, and withdrawn ones."""
    return list(SignOff.objects.filter(gate=None, attempt__task__phase=phase).select_related("attempt").order_by("-pk"))


def withdraw_sign_off(*, sign_off: SignOff, reason: str, actor: Actor) -> None:
    """Take a sign-off back, whoever gave it; both stay in the history. Raises ServiceError, PermissionDenied."""
    name = _person(actor, sign_off.attempt.task.run.batch.project)
    words = _reason(reason, "Say why the sign-off is withdrawn. It stays in the history.")
    with transaction.atomic():
        changed = SignOff.objects.filter(pk=sign_off.pk, withdrawn_at=None).update(
            withdrawn_by=actor.user, withdrawn_name=name, withdrawn_at=timezone.now(), withdraw_reason=words
        )
        if not changed:
            raise ServiceError("This sign-off was withdrawn already.")
        record_attempts([sign_off.attempt_id])
        Batch.objects.bump(sign_off.phase.batch_id)
    sign_off.refresh_from_db()


def _person(actor: Actor, project: Project) -> str:
    actor.require(SIGN_OFF_GATE, project)
    if actor.user is None:
        raise PermissionDenied("A gate is signed off by a signed-in person, on the page of its phase or of the gates.")
    return str(actor.user.get_username())


def _reason(text: str, otherwise: str) -> str:
    words = " ".join(text.split())
    if not words:
        raise ServiceError(otherwise)
    return words
