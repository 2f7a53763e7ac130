"""What people say about an attempt's diff, and which of its files they have viewed."""

from django.conf import settings
from django.db import models

from batches.core.review.diff_comments import place_of
from batches.models.batches import Phase
from batches.models.runs import Attempt
from batches.models.visibility import ConfinedManager


class DiffComment(models.Model):
    """A comment on a line of the diff of an attempt, or on a file (line 0), before or after its end. `code` are the lines
    around it, as they were then.

    It stays open, also over later attempts, until a person resolves it or the agent of a succeeded one answers it.
    """

    attempt = models.ForeignKey(Attempt, models.CASCADE, related_name="comments")
    file = models.CharField(max_length=4096)
    line = models.PositiveIntegerField()
    removed = models.BooleanField(default=False, help_text="Whether the line is one of the file before the change.")
    code = models.TextField(help_text="The lines around it, as a diff.")
    text = models.TextField()
    name = models.CharField(max_length=150, help_text="Who said it, kept when the account is gone.")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_name = models.CharField(max_length=150, blank=True)
    answer = models.TextField(blank=True, help_text="What the agent that resolved it says.")

    objects = ConfinedManager["DiffComment"]()

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.attempt}: {self.file}:{self.line}"

    @property
    def place(self) -> str:
        """"a.py, line 3"; of a whole file its name."""
        return place_of(self.file, self.line, self.removed)


class ViewedFile(models.Model):
    """A person has viewed what a phase changed in a file: `digest` is DiffFile.digest of that change, so another change is not viewed."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    phase = models.ForeignKey(Phase, models.CASCADE, related_name="+")
    digest = models.CharField(max_length=64)

    objects = ConfinedManager["ViewedFile"]()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "phase", "digest"], name="viewed_once")]

    def __str__(self) -> str:
        return f"{self.user}: {self.phase}: {self.digest[:12]}"
