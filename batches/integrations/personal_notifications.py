"""What each person is notified of by mail: whose events, when, and as which message.

What waits together for a person comes as one message. Whether the person may see the project is asked when an event is stored
and again when it is sent.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from itertools import groupby
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q

from batches.accounts.access import may
from batches.accounts.roles import VIEW_BATCH
from batches.core.errors import ServiceError, WrongChoice
from batches.core.quiet_times import next_time, quiet_until
from batches.models import Notification, PersonalNotifications, Run

Of = PersonalNotifications.Of
LISTED_CHARACTERS = 300  # of one event among several


def choices_of(user: User) -> PersonalNotifications:
    """What the person chose; without a choice, what the form begins with: off, in the installation's time zone."""
    return PersonalNotifications.objects.filter(user=user).first() or PersonalNotifications(user=user, zone=settings.TIME_ZONE)


def choose(chosen: PersonalNotifications) -> None:
    """Save what a person chose, also for what still waits. Raises ServiceError."""
    if chosen.zone not in available_timezones():
        raise WrongChoice(f"There is no time zone {chosen.zone}; one is called Europe/Vienna.")
    if chosen.of != Of.NONE and not chosen.user.email:
        raise ServiceError("Your account has no mail address. An administrator can enter it at Administration, People.")
    if chosen.of != Of.NONE and not chosen.ended and not chosen.needs_person:
        raise ServiceError("Choose an event, or mail for no batches.")
    with transaction.atomic():
        chosen.save()
        for row in Notification.objects.select_for_update().filter(user=chosen.user, sent_at=None):
            row.next_try_at = due(chosen, row.created_at)
            row.save(update_fields=["next_try_at"])


def due(chosen: PersonalNotifications, at: datetime) -> datetime:
    """When an event of the moment `at` is told."""
    if chosen.digest_at is not None:
        at = next_time(at, chosen.digest_at, _zone(chosen))
    return held_until(chosen, at) or at


def held_until(chosen: PersonalNotifications, now: datetime) -> datetime | None:
    """The end of the person's quiet hours, if it is quiet `now`."""
    if chosen.quiet_from is None or chosen.quiet_to is None:
        return None
    return quiet_until(now, chosen.quiet_from, chosen.quiet_to, _zone(chosen))


def rows_for_people(run: Run, event: "Notification.Event", text: str, about: str, now: datetime) -> list[Notification]:
    """What people are to be told of an event of the run; not stored yet."""
    wanted = Q(ended=True) if event == Notification.Event.ENDED else Q(needs_person=True)
    asked = PersonalNotifications.objects.filter(wanted, user__is_active=True).exclude(of=Of.NONE).select_related("user")
    starters = {run.batch.created_by_id, *Run._base_manager.filter(batch=run.batch_id).values_list("created_by", flat=True)}
    return [
        Notification(
            run=run,
            event=event,
            channel=Notification.Channel.PERSON,
            user=chosen.user,
            about=about,
            text=text,
            created_at=now,
            next_try_at=due(chosen, now),
        )
        for chosen in asked
        if (chosen.of == Of.ALL or chosen.user_id in starters) and may(chosen.user, VIEW_BATCH, run.batch.project)
    ]


def refusal(user: User, row: Notification, chosen: PersonalNotifications) -> str:
    """Why the person is not told of the row; "" to tell it."""
    if not user.is_active:
        return "The account is switched off."
    if chosen.of == Of.NONE:
        return "Notifications have been switched off."
    return "" if may(user, VIEW_BATCH, row.run.batch.project) else "The project may no longer be seen."


def message_of(told: Sequence[tuple[Notification, str]], account: str) -> tuple[str, str]:
    """Subject and text of one mail about all of these, each with the address of its page; grouped by project."""
    foot = f"\n\n-- \nYou chose these notifications on the page of your account. {account}".rstrip() + "\n"
    if len(told) == 1:
        row, address = told[0]
        return " ".join(row.text.split())[:150], f"{row.text}\n\n{address}".strip() + foot
    parts = []
    for name, group in groupby(sorted(told, key=lambda one: (_project(one), one[0].pk)), key=_project):
        lines = [f"- {' '.join(row.text.split())[:LISTED_CHARACTERS]}" + (f"\n  {address}" if address else "") for row, address in group]
        parts.append("\n".join([name, *lines]))
    return f"{len(told)} notifications", "\n\n".join(parts) + foot


def _project(told: tuple[Notification, str]) -> str:
    return told[0].run.batch.project.name


def _zone(chosen: PersonalNotifications) -> tzinfo:
    try:
        return ZoneInfo(chosen.zone)
    except (ZoneInfoNotFoundError, ValueError):  # a name that this machine no longer knows
        return UTC
