"""The installation: its settings, API tokens, audit log and notifications."""


from django.conf import settings
from django.db import models
from django.db.models import Q

from batches.models.runs import Run


class Installation(models.Model):
    """What is set for the whole installation: one row. A key that an administrator entered is kept encrypted (keys.py)."""

    default_backend = models.CharField(max_length=40, default="steps", help_text="Of projects that are made from now on.")
    api_key = models.TextField(blank=True, help_text="Encrypted.")

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="one_installation")]

    def __str__(self) -> str:
        return "Installation"


class SettingChange(models.Model):
    """Who changed which setting of the installation, and when; never to what. Rows are only ever added."""

    at = models.DateTimeField(auto_now_add=True)
    cause = models.CharField(max_length=200)
    name = models.CharField(max_length=60)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.name} by {self.cause}"


class ApiToken(models.Model):
    """A person's key to the API, known by its hash only. It may do what that person may, until it is revoked or its time is over."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=80, help_text="What it is for.")
    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the token, in hexadecimal digits.")
    ending = models.CharField(max_length=4, help_text="Its last characters, to know it by.")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Empty: it does not end by itself.")
    last_used_at = models.DateTimeField(null=True, blank=True, help_text="To the minute.")
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["user", "name"], condition=Q(revoked_at__isnull=True), name="one_standing_token_per_name")
        ]

    def __str__(self) -> str:
        return f"{self.name} (…{self.ending})"


class AuditEvent(models.Model):
    """What a person or a command did that leaves no other row: sign-ins, people, tokens, projects. Rows are only ever added."""

    class Kind(models.TextChoices):
        SIGN_IN = "sign-in", "sign-in"
        USER = "user", "people"
        TOKEN = "token", "API tokens"
        PROJECT = "project", "projects"

    at = models.DateTimeField(db_index=True)
    kind = models.CharField(max_length=10, choices=Kind)
    cause = models.CharField(max_length=200, help_text="person:NAME, command:NAME, or address:IP of somebody who was not signed in.")
    what = models.CharField(max_length=300)
    address = models.GenericIPAddressField(null=True, blank=True)
    refused = models.BooleanField(default=False, help_text="It was tried and turned away.")

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["address", "at"], condition=Q(kind="token", refused=True), name="refused_tokens_of_address")]

    def __str__(self) -> str:
        return f"{self.what} by {self.cause}"


class Notification(models.Model):
    """One message that a batch has ended or needs a person, to one receiver, until it is sent or given up."""

    class Event(models.TextChoices):
        ENDED = "ended", "ended"
        PERSON = "needs_person", "needs a person"

    class Channel(models.TextChoices):
        WEBHOOK = "webhook", "webhook"
        MAIL = "mail", "mail"

    run = models.ForeignKey(Run, models.CASCADE, related_name="notifications")
    event = models.CharField(max_length=12, choices=Event)
    channel = models.CharField(max_length=7, choices=Channel)
    about = models.CharField(max_length=80, help_text="What is told; the same is told once.")
    text = models.TextField()
    created_at = models.DateTimeField()
    tries = models.PositiveIntegerField(default=0)
    next_try_at = models.DateTimeField()
    claimed_until = models.DateTimeField(null=True, blank=True, help_text="Somebody is at it.")
    sent_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True, help_text="Why it could not be sent when it was last tried.")

    class Meta:
        db_table = "batches_notice"  # the name of its first release
        verbose_name = "notification"
        ordering = ["-pk"]
        constraints = [models.UniqueConstraint(fields=["run", "channel", "about"], name="notice_once_per_channel")]
        indexes = [models.Index(fields=["next_try_at"], condition=Q(sent_at__isnull=True), name="unsent_notices")]

    def __str__(self) -> str:
        return self.text
