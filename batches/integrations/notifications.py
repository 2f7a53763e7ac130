"""Notifications that a batch has ended or needs a person, as set in its project and as people chose for themselves.

A notification is stored in the transaction of the event. A queued task sends it, retries later after a failure, and stores
the error. A failure never stops a run. If the sender is killed at the wrong moment, a notification is sent twice: as the same message.
"""

import logging
import smtplib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from urllib.parse import urljoin, urlsplit

from django.conf import settings
from django.contrib.auth.models import User
from django.core.mail import EmailMessage
from django.db.models import F, Q, QuerySet
from django.urls import reverse
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.accounts.roles import CHANGE_PROJECT
from batches.accounts.sealed import Unreadable, unseal
from batches.core.engine.states import Operation, RunState
from batches.core.errors import ServiceError
from batches.core.gates.success import Success, success_words
from batches.integrations import other_services, personal_notifications
from batches.integrations.webhook import WebhookError, send
from batches.metrics.successes import successes_of_batches
from batches.models import Notification, Project, Run

logger = logging.getLogger(__name__)

CLAIM = timedelta(seconds=60)  # longer than one notification takes
TRIES = 8
SLACK_CHARACTERS = 2900  # a block takes 3,000
FIRST_BACKOFF, LONGEST_BACKOFF = timedelta(minutes=1), timedelta(hours=1)
WORK_SECONDS = 12.0  # for one call of `work`; a queued task may take 30
UNSENT = (WebhookError, Unreadable, OSError, smtplib.SMTPException)
Event = Notification.Event


def want(run: Run, event: "Notification.Event", text: str, about: str, now: datetime) -> None:
    """Notify over the project's channels and who wants it, once per `about`. Runs in the caller's transaction."""
    rows = [
        Notification(run=run, event=event, channel=channel, receiver=receiver, about=about, text=text, created_at=now, next_try_at=now)
        for channel, receiver in ways_of(run.batch.project)
    ]
    rows += personal_notifications.rows_for_people(run, event, text, about, now)
    Notification.objects.bulk_create(rows, ignore_conflicts=True)


def tell_end(run: Run, now: datetime) -> None:
    """Notify about the end of a run, unless the autopilot starts another run after it."""
    if run.autopilot_runs.going().exists():
        return
    name = f"Batch {run.batch.number}: {run.batch.title}"
    about = f"ended {run.ended_at.isoformat() if run.ended_at else ''}"
    if run.operation == Operation.EXECUTE:
        if run.state == RunState.SUCCEEDED:
            kinds = successes_of_batches([run.batch_id]).get(run.batch_id, [])
            behind = success_words(kinds)
            event = Event.PERSON if Success.NEEDS_LOOK in kinds else Event.ENDED
            want(run, event, f"{name} has succeeded{f': {behind}' if behind else ''}.", about, now)
        elif run.state == RunState.CANCELLED:
            want(run, Event.ENDED, f"{name} was cancelled. {run.stop_message}".strip(), about, now)
        else:
            failed = list(run.tasks.filter(state="failed").values_list("name", flat=True)[:8])
            want(run, Event.PERSON, f"{name} failed{': ' + ', '.join(failed) if failed else ''}.", about, now)
    elif run.state == RunState.FAILED:
        want(run, Event.PERSON, f"{name}: run {run.number} ({run.get_operation_display()}) failed.", about, now)
    elif run.operation == Operation.UPDATE_CONTEXT and run.context_change.decision == "proposed":
        want(run, Event.PERSON, f"{name}: the context update waits for a decision.", about, now)


def waiting(now: datetime) -> QuerySet[Notification]:
    """Notifications to send now."""
    unclaimed = Q(claimed_until__isnull=True) | Q(claimed_until__lt=now)
    return Notification.objects.filter(unclaimed, sent_at=None, tries__lt=TRIES, next_try_at__lte=now)


def has_work(now: datetime) -> bool:
    return waiting(now).exists()


def work(seconds: float = WORK_SECONDS) -> None:
    """Send waiting notifications for about `seconds`. Safe to repeat and to run in parallel."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        now = timezone.now()
        row = waiting(now).select_related("run__batch__project", "user").order_by("next_try_at", "pk").first()
        if row is None:
            return
        if row.user is None:
            if _claim(waiting(now).filter(pk=row.pk), now):
                _deliver(row)
        else:
            _deliver_to_person(row, row.user, now)


def _claim(rows: QuerySet[Notification], now: datetime) -> datetime | None:
    """Hold the rows that nobody else holds; until when, or None if there are none."""
    until = now + CLAIM
    return until if rows.update(claimed_until=until, tries=F("tries") + 1) else None


def try_channels(*, project: Project, actor: Actor) -> str:
    """Send a test notification over each channel. Raises ServiceError with what failed, PermissionDenied."""
    actor.require(CHANGE_PROJECT, project)
    text = f"This is a test notification from the project {project.name}."
    done: list[str] = []
    failed: list[str] = []
    address = site_address("batches:project_detail", project.slug)
    for channel, receiver in ways_of(project):
        try:
            _send(channel, receiver, project, text, address, {"event": "test", "project": project.slug})
        except UNSENT as problem:
            failed.append(f"{channel.label}: {problem}")
        else:
            done.append(str(channel.label))
    done = list(dict.fromkeys(done))
    if failed:
        raise ServiceError(" ".join(failed) + (f" Sent by {' and '.join(done)}." if done else ""))
    if not done:
        raise ServiceError("Notifications are off: save a webhook, email addresses or another service first.")
    return f"A test notification was sent by {' and '.join(done)}."


def send_again(*, notice: Notification, actor: Actor) -> None:
    """Have a notification sent once more, whether it was sent or given up. Raises ServiceError, PermissionDenied."""
    actor.require(CHANGE_PROJECT, notice.run.batch.project)
    if (notice.channel, notice.receiver) not in ways_of(notice.run.batch.project):
        raise ServiceError(f"The project no longer notifies by {notice.get_channel_display()}.")
    now = timezone.now()
    free = Q(claimed_until__isnull=True) | Q(claimed_until__lt=now)
    if not Notification.objects.filter(free, pk=notice.pk).update(sent_at=None, tries=0, error="", next_try_at=now):
        raise ServiceError("It is being sent right now.")


def ways_of(project: Project) -> "list[tuple[Notification.Channel, str]]":
    """Each channel of the project, with the receiver where it has several."""
    try:
        others = list(other_services.addresses_of(project))
    except Unreadable:
        others = [""]  # said when it is sent
    return [
        *([(Notification.Channel.WEBHOOK, "")] if project.notify_webhook_sealed else []),
        *([(Notification.Channel.MAIL, "")] if project.notify_mail.strip() else []),
        *((Notification.Channel.OTHER, receiver) for receiver in others),
    ]


def _deliver(row: Notification) -> None:
    batch = row.run.batch
    details = {"event": row.event, "batch_id": batch.number, "title": batch.title, "project": batch.project.slug}
    details |= {"run": row.run.number, "operation": row.run.operation, "state": row.run.state, "at": row.created_at.isoformat()}
    with _noted([row]):
        _send(row.channel, row.receiver, batch.project, row.text, _page_of(row), details, f"{batch.number}-{row.pk}")


def _deliver_to_person(row: Notification, user: User, now: datetime) -> None:
    """Send as one message what waits for the person. What a killed sender may have sent is sent again."""
    chosen = personal_notifications.choices_of(user)
    own = waiting(now).filter(user=user)
    if until := personal_notifications.held_until(chosen, now):
        own.update(next_try_at=until)
        return
    claimed_until, told = _claim(own.filter(claimed_until=row.claimed_until), now), list[Notification]()
    if claimed_until is None:
        return
    for one in Notification.objects.filter(user=user, claimed_until=claimed_until).select_related("run__batch__project"):
        if why := personal_notifications.refusal(user, one, chosen):
            Notification.objects.filter(pk=one.pk).update(claimed_until=None, tries=TRIES, error=why)
        else:
            told.append(one)
    if not told:
        return
    subject, text = personal_notifications.message_of([(one, _page_of(one)) for one in told], site_address("batches:account"))
    with _noted(told):
        if not user.email:
            raise WebhookError("The account has no mail address.")
        _mail([user.email], subject, text, f"person-{max(one.pk for one in told)}")


@contextmanager
def _noted(rows: Sequence[Notification]) -> Iterator[None]:
    """Note on the rows whether the block sent them, and when it is tried again if not."""
    found = Notification.objects.filter(pk__in=[row.pk for row in rows])
    ids, channel = ",".join(str(row.pk) for row in rows), rows[0].channel
    try:
        yield
    except UNSENT as problem:
        tries = 1 + max(row.tries for row in rows)
        later = timezone.now() + min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** (tries - 1))
        found.update(claimed_until=None, error=str(problem)[:1000], next_try_at=later)
        logger.warning("notice=%s try=%s %s: %s", ids, tries, channel, problem)
        return
    found.update(claimed_until=None, error="", sent_at=timezone.now())
    logger.info("notice=%s sent by %s", ids, channel)


def _page_of(row: Notification) -> str:
    return site_address("batches:detail", row.run.batch.number)


def _mail(receivers: list[str], subject: str, text: str, delivery: str) -> None:
    """Send a mail whose id is the same each time it is sent, so that a second one can be told. Raises one of UNSENT."""
    if not settings.EMAIL_HOST:
        raise WebhookError("No mail server is set (setting CE_MAIL_URL).")
    known = {"Message-ID": f"<ce-{delivery}@{urlsplit(settings.CE_SITE_URL).hostname or 'localhost'}>"} if delivery != "test" else {}
    EmailMessage(subject, text, settings.DEFAULT_FROM_EMAIL, receivers, headers=known).send()


def _send(
    channel: str, receiver: str, project: Project, text: str, address: str, details: Mapping[str, object], delivery: str = "test"
) -> None:
    """`details` are added to a JSON webhook; `delivery` names the message. Raises one of UNSENT."""
    if channel == Notification.Channel.MAIL:
        receivers = [one.strip() for one in project.notify_mail.split(",") if one.strip()]
        _mail(receivers, " ".join(text.split())[:150], f"{text}\n\n{address}".strip() + "\n", delivery)
        return
    if channel == Notification.Channel.OTHER:
        other = other_services.addresses_of(project).get(receiver)
        if other is None:
            raise WebhookError("The project no longer notifies this service.")
        other_services.post(other, project.name, f"{text}\n{address}".strip(), private=settings.CE_WEBHOOK_PRIVATE)
        return
    if not project.notify_webhook_sealed:
        raise WebhookError("The project no longer has a webhook.")
    payload: dict[str, object] = {"text": f"{text}\n{address}" if address else text}  # the field that Slack reads
    if project.notify_format == Project.NotifyFormat.JSON:
        payload |= {**details, "url": address or None}
    else:
        payload["text"] = str(payload["text"]).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")  # what stands for blocks
        payload["blocks"] = slack_blocks(text, address)
    secret = unseal(project.notify_secret_sealed) if project.notify_secret_sealed else ""
    send(unseal(project.notify_webhook_sealed), payload, private=settings.CE_WEBHOOK_PRIVATE, secret=secret, delivery=delivery)


def slack_blocks(text: str, address: str) -> list[dict[str, object]]:
    """A message as Slack's blocks: the text, without markup or mentions, and a button that opens the page."""
    said = {"type": "plain_text", "text": text[:SLACK_CHARACTERS] or "—", "emoji": False}
    blocks: list[dict[str, object]] = [{"type": "section", "text": said}]
    if address:
        button = {"type": "button", "text": {"type": "plain_text", "text": "Open it"}, "url": address}
        blocks.append({"type": "actions", "elements": [button]})
    return blocks


def site_address(name: str, *args: object) -> str:
    """The absolute address of a page; "" if CE_SITE_URL is not set."""
    return urljoin(settings.CE_SITE_URL + "/", reverse(name, args=args)) if settings.CE_SITE_URL else ""
