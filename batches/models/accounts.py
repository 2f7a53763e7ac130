"""The installation: its settings, API tokens, second steps, identities, saved views, audit log and notifications."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from batches.models.projects import Project
from batches.models.runs import Run
from batches.models.visibility import ConfinedManager


class Installation(models.Model):
    """Settings of the whole installation, in one row. An API key is stored encrypted (accounts/sealed.py)."""

    default_backend = models.CharField(max_length=40, default="steps", help_text="The backend of new projects.")
    api_key = models.TextField(blank=True, help_text="Encrypted.")
    listed_at = models.DateTimeField(null=True, blank=True, help_text="When the provider listed them.")
    listed_models = models.JSONField(default=list, blank=True, help_text="Ids of the models that the provider listed for the key.")
    deleted_batch = models.PositiveIntegerField(default=0, help_text="The highest number of a deleted batch. No batch gets it again.")
    # Which installation this is, and the one data directory whose cluster drives it (engine/data_directory.py); "" before the first start.
    identity = models.CharField(max_length=32, blank=True)
    key_fingerprint = models.CharField(max_length=16, blank=True, help_text="Of the secret key; says nothing about it.")
    directory = models.CharField(max_length=32, blank=True, help_text="Id of the data directory of the cluster.")
    host = models.CharField(max_length=60, blank=True, help_text="Its host's name.")
    place = models.TextField(blank=True, help_text="Its path.")

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="one_installation")]

    def __str__(self) -> str:
        return "Installation"


class SettingChange(models.Model):
    """Who changed which installation setting, and when. Values are not recorded. Append-only."""

    at = models.DateTimeField(auto_now_add=True)
    cause = models.CharField(max_length=200)
    name = models.CharField(max_length=60)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.name} by {self.cause}"


class ApiToken(models.Model):
    """A person's API token, stored as a hash. It may do what its scope and its person may, until it is revoked or expires."""

    class Scope(models.TextChoices):
        """Each includes the ones before it, as the roles do."""

        READ = "read", "read"
        PLAN = "plan", "read, and write plans"
        EXECUTE = "execute", "also execute, which runs code"
        ADMIN = "admin", "whatever you may do"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=80, help_text="What the token is for.")
    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the token, in hexadecimal.")
    ending = models.CharField(max_length=4, help_text="The last characters of the token, to recognise it.")
    scope = models.CharField(max_length=7, choices=Scope, default=Scope.READ)
    project = models.ForeignKey(
        Project, models.CASCADE, null=True, blank=True, related_name="+", help_text="The only project it is for. Empty: all."
    )
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Empty if the token never expires.")
    last_used_at = models.DateTimeField(null=True, blank=True, help_text="Accurate to a minute.")
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["user", "name"], condition=Q(revoked_at__isnull=True), name="one_standing_token_per_name")
        ]

    def __str__(self) -> str:
        return f"{self.name} (…{self.ending})"


class SavedView(models.Model):
    """What a person narrowed and sorted the list of batches to, under a name. Nobody else sees it."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="saved_views")
    name = models.CharField(max_length=40)
    query = models.CharField(max_length=600, blank=True, help_text="The list's query string, without the page.")

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["user", "name"], name="one_view_per_name")]

    def __str__(self) -> str:
        return self.name


class ClosedTour(models.Model):
    """That a person has closed the hints for new people, which never return."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="closed_tour")
    at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return str(self.user)


class KeptAnswer(models.Model):
    """What the API answered to a request with an Idempotency-Key, so that the same request once more gets the same answer."""

    token = models.ForeignKey(ApiToken, models.CASCADE, related_name="kept_answers")
    key = models.CharField(max_length=200, help_text="Chosen by the program.")
    request = models.CharField(max_length=64, help_text="SHA-256 of method, address and body, in hexadecimal.")
    status = models.PositiveSmallIntegerField(null=True, help_text="Null while the request is carried out.")
    body = models.TextField(blank=True)
    content_type = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["created_at"], name="kept_answers_by_age")]
        constraints = [models.UniqueConstraint(fields=["token", "key"], name="one_answer_per_token_and_key")]

    def __str__(self) -> str:
        return f"{self.key} of {self.token}"


class SecondStep(models.Model):
    """What a person shows besides the password to sign in (accounts/second_steps.py). A recovery code is deleted when it is used."""

    class Kind(models.TextChoices):
        APP = "app", "authenticator app"
        PASSKEY = "passkey", "passkey"
        CODE = "code", "recovery code"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="second_steps")
    kind = models.CharField(max_length=7, choices=Kind)
    name = models.CharField(max_length=80, blank=True, help_text="To tell several apart.")
    digest = models.CharField(max_length=64, blank=True, help_text="Of a recovery code, or of a passkey's id.")
    secret = models.TextField(blank=True, help_text="The app's key, encrypted; or the passkey's public key.")
    counter = models.BigIntegerField(default=0, help_text="The app's last code that was used, or the passkey's count of uses.")
    made_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["digest"], condition=~Q(digest=""), name="second_step_known_once")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.name}".strip()


class ProviderIdentity(models.Model):
    """Who a person is at an identity provider (accounts/identities.py)."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="identities")
    issuer = models.CharField(max_length=500, help_text="The provider's own name: an address.")
    subject = models.CharField(max_length=255, help_text="The provider's name for the person, which never changes.")
    name = models.CharField(max_length=254, blank=True, help_text="What the provider called the person last.")
    made_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["issuer", "subject"], name="one_account_for_an_identity"),
            models.UniqueConstraint(fields=["user", "issuer"], name="one_identity_for_an_account"),
        ]

    def __str__(self) -> str:
        return self.name or self.subject


class SignInFailure(models.Model):
    """A wrong password of the last hour, to slow down whoever types them (accounts/back_off.py)."""

    at = models.DateTimeField(db_index=True)
    name = models.CharField(max_length=32, help_text="A keyed hash of what was typed as the name.")
    network = models.CharField(max_length=45, blank=True)
    device = models.CharField(max_length=32, blank=True, help_text="The browser, if the person has signed in there before.")

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} from {self.network or 'nowhere'}"


class AuditEvent(models.Model):
    """An action that leaves no other row: sign-ins, and changes to people, tokens and projects. Append-only."""

    class Kind(models.TextChoices):
        SIGN_IN = "sign-in", "sign-in"
        USER = "user", "people"
        TOKEN = "token", "API tokens"
        PROJECT = "project", "projects"
        INSTALLATION = "site", "installation"

    at = models.DateTimeField(db_index=True)
    kind = models.CharField(max_length=10, choices=Kind)
    cause = models.CharField(max_length=200, help_text="person:NAME, command:NAME, or address:IP for someone who was not signed in.")
    what = models.CharField(max_length=300)
    address = models.GenericIPAddressField(null=True, blank=True)
    refused = models.BooleanField(default=False, help_text="The attempt was refused.")

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["address", "at"], condition=Q(kind="token", refused=True), name="refused_tokens_of_address")]

    def __str__(self) -> str:
        return f"{self.what} by {self.cause}"


class PersonalNotifications(models.Model):
    """Of which batches a person gets mail, and when. Without a row: of none."""

    class Of(models.TextChoices):
        NONE = "none", "none"
        STARTED = "started", "batches that I started"
        ALL = "all", "all projects that I may see"

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="personal_notifications")
    of = models.CharField(max_length=7, choices=Of, default=Of.NONE)
    ended = models.BooleanField(default=True)
    needs_person = models.BooleanField(default=True)
    quiet_from = models.TimeField(null=True, blank=True)
    quiet_to = models.TimeField(null=True, blank=True)
    digest_at = models.TimeField(null=True, blank=True, help_text="When the one message of a day is sent. Empty: at once.")
    zone = models.CharField(max_length=60, help_text="The time zone of these times, such as Europe/Vienna.")

    class Meta:
        verbose_name_plural = "personal notifications"
        constraints = [
            models.CheckConstraint(
                condition=Q(quiet_from=None, quiet_to=None)
                | (Q(quiet_from__isnull=False, quiet_to__isnull=False) & ~Q(quiet_from=F("quiet_to"))),
                name="quiet_from_and_to",
                violation_error_message="Quiet hours need two different times; leave both empty for none.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.get_of_display()}"


class Notification(models.Model):
    """A notification over one channel, or to one person, that a batch has ended or needs a person."""

    class Event(models.TextChoices):
        ENDED = "ended", "ended"
        PERSON = "needs_person", "needs a person"

    class Channel(models.TextChoices):
        WEBHOOK = "webhook", "webhook"
        MAIL = "mail", "mail"
        OTHER = "other", "other service"
        PERSON = "person", "mail to a person"

    run = models.ForeignKey(Run, models.CASCADE, related_name="notifications")
    event = models.CharField(max_length=12, choices=Event)
    channel = models.CharField(max_length=7, choices=Channel)
    receiver = models.CharField(max_length=16, blank=True, default="", help_text="Which other service: a keyed hash of its address.")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True, related_name="notifications", help_text="Empty: the project's."
    )
    about = models.CharField(max_length=80, help_text="What it is about. Each subject is sent once per channel, and once to a person.")
    text = models.TextField()
    created_at = models.DateTimeField()
    tries = models.PositiveIntegerField(default=0)
    next_try_at = models.DateTimeField()
    claimed_until = models.DateTimeField(null=True, blank=True, help_text="Until when a process holds this row.")
    sent_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True, help_text="Why the last try failed.")

    objects = ConfinedManager["Notification"]()

    class Meta:
        db_table = "batches_notice"  # the table keeps the name of its first release
        verbose_name = "notification"
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["run", "channel", "receiver", "about"], condition=Q(user=None), name="notice_once_per_channel"),
            models.UniqueConstraint(fields=["run", "user", "about"], condition=Q(user__isnull=False), name="notice_once_per_person"),
            models.CheckConstraint(
                condition=Q(channel="person", user__isnull=False) | (~Q(channel="person") & Q(user=None)), name="notice_of_person_has_one"
            ),
        ]
        indexes = [models.Index(fields=["next_try_at"], condition=Q(sent_at__isnull=True), name="unsent_notices")]

    def __str__(self) -> str:
        return self.text
