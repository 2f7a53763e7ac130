"""Pull requests of batches at a code host."""

from datetime import datetime
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q

from batches.models.batches import Batch
from batches.models.visibility import ConfinedManager


class PullRequestQuerySet(models.QuerySet["PullRequest"]):
    def going(self) -> Self:
        """Those that are neither merged nor closed."""
        return self.filter(ended_at__isnull=True)

    def wake(self, batch_id: int, now: datetime) -> None:
        """Have the batch's open pull request brought up to date soon, in the caller's transaction."""
        self.going().filter(batch=batch_id).update(next_try_at=now, quiet_looks=0)


PullRequestManager = ConfinedManager.from_queryset(PullRequestQuerySet)


class PullRequest(models.Model):
    """A pull request (GitLab: merge request) of a batch's branch. The row requests it; the code host is asked afterwards, over and over.

    What was pushed and told last is kept, so that a lost answer changes nothing: the next try looks for what is there.
    """

    class Status(models.TextChoices):
        WANTED = "wanted", "being opened"
        OPEN = "open", "open"
        MERGED = "merged", "merged"
        CLOSED = "closed", "closed without a merge"

    batch = models.ForeignKey(Batch, models.CASCADE, related_name="pull_requests")
    forge = models.CharField(max_length=10, help_text="Kind of the code host: github, gitlab, gitea.")
    address = models.CharField(max_length=500, help_text="Address of the repository there.")
    head = models.CharField(max_length=200)
    base = models.CharField(max_length=200)
    status = models.CharField(max_length=10, choices=Status, default=Status.WANTED)
    number = models.PositiveBigIntegerField(null=True, blank=True, help_text="Its number there. Unknown until it is open.")
    url = models.CharField(max_length=500, blank=True)
    pushed_commit = models.CharField(max_length=64, blank=True, help_text="The commit of the branch that was pushed last.")
    told = models.CharField(max_length=64, blank=True, help_text="Hash of the title and body that were sent last.")
    replace = models.BooleanField(default=False, help_text="The next push may replace what was pushed before.")
    merge_commit = models.CharField(max_length=64, blank=True, help_text="The commit that the code host made of it.")
    cause = models.CharField(max_length=200, help_text="person:NAME or command:NAME.")
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    asked_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True, help_text="When it was seen to be merged or closed.")
    tries = models.PositiveIntegerField(default=0, help_text="Failed tries since the last success.")
    quiet_looks = models.PositiveIntegerField(default=0, help_text="Looks since something last changed.")
    error = models.TextField(blank=True, help_text="Why the last try failed.")
    next_try_at = models.DateTimeField(help_text="The earliest time of the next try or look.")
    claimed_until = models.DateTimeField(null=True, blank=True, help_text="Until when a process holds this row.")
    looked_at = models.DateTimeField(null=True, blank=True)
    seen = models.CharField(max_length=100, blank=True, help_text="When it was changed last there, as the code host says it.")
    diverged = models.BooleanField(default=False, help_text="The branch there has commits that ours lacks.")
    checks = models.JSONField(default=list, blank=True, help_text="[{name, outcome, url}] of the pushed commit.")
    rounds = models.PositiveIntegerField(default=0, help_text="How often remarks were given to an agent automatically.")

    objects = PullRequestManager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["batch"], condition=Q(ended_at__isnull=True), name="one_open_pull_request_per_batch"),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True, status__in=["wanted", "open"])
                | Q(ended_at__isnull=False, status__in=["merged", "closed"]),
                name="pull_request_ended_iff_over",
            ),
        ]
        indexes = [models.Index(fields=["next_try_at"], condition=Q(ended_at__isnull=True), name="open_pull_requests")]

    def __str__(self) -> str:
        return f"#{self.number}" if self.number else f"Pull request of {self.batch}"

    @property
    def checks_outcome(self) -> str:
        """How the checks of the pushed commit went together: "" without any, "pending", "failed" or "passed"."""
        found = {check["outcome"] for check in self.checks}
        return next((word for word in ("pending", "failed", "passed") if word in found), "")


class PullRequestRemark(models.Model):
    """A failed check or a comment of a pull request, which an agent can be given."""

    class Kind(models.TextChoices):
        CHECK = "check", "failed check"
        COMMENT = "comment", "comment"

    pull_request = models.ForeignKey(PullRequest, models.CASCADE, related_name="remarks")
    kind = models.CharField(max_length=7, choices=Kind)
    key = models.CharField(max_length=300, help_text="Names it among all of the pull request.")
    author = models.CharField(max_length=200, blank=True)
    trusted = models.BooleanField(default=False, help_text="The author may write to the repository; so may what runs its checks.")
    path = models.CharField(max_length=1000, blank=True)
    line = models.PositiveIntegerField(null=True, blank=True)
    text = models.TextField(blank=True)
    url = models.CharField(max_length=500, blank=True)
    commit = models.CharField(max_length=64, blank=True, help_text="Of a check: the commit that it judged.")
    found_at = models.DateTimeField()
    taken_at = models.DateTimeField(null=True, blank=True, help_text="When an agent was given it, or a person set it aside.")
    taken_cause = models.CharField(max_length=200, blank=True)

    objects = ConfinedManager["PullRequestRemark"]()

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["pull_request", "key"], name="remark_once_per_pull_request")]

    def __str__(self) -> str:
        return self.key
