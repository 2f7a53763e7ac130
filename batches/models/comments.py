"""What people say about lines of an attempt's diff."""

from django.conf import settings
from django.db import models

from batches.models.runs import Attempt
from batches.models.visibility import ConfinedManager


class DiffComment(models.Model):
    """A comment on one line of the diff of an attempt, before or after its end. `code` are the lines around it, as they were then.

    It stays open, also over later attempts, until a person resolves it.
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

    objects = ConfinedManager["DiffComment"]()

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.attempt}: {self.file}:{self.line}"
