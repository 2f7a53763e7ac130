"""Ideas: what people want done, from which an agent drafts plans, and the attempts of the agent."""

from decimal import Decimal

from django.conf import settings
from django.db import models
from django.db.models import Q

from batches.core.plans.drafted import IdeaRequest
from batches.models.choices import choices
from batches.models.plans import Plan
from batches.models.processes import SupervisedProcess
from batches.models.projects import Project
from batches.models.visibility import ConfinedManager


class Idea(models.Model):
    """What a person wants done, the agent's questions about it with their answers, and the plan that came of it (docs/ideas.md).

    While `wanted` names a request, the ticker has an agent at work on it, or starts one. `problem` says why the last one came to
    nothing. What the person wrote never changes.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="ideas")
    text = models.TextField(blank=True, help_text="What the person wrote.")
    source = models.CharField(max_length=500, blank=True, help_text="Where the document comes from: a file's name, or an address.")
    document = models.TextField(blank=True, help_text="A document that belongs to it, such as a specification or an issue.")
    files = models.JSONField(default=list, blank=True, help_text="Files of the repository that the person points at.")
    translate = models.BooleanField(default=False, help_text="The document is a plan of unknown format, to be said in ours.")
    cap_usd = models.DecimalField(
        max_digits=12, decimal_places=6, null=True, blank=True, help_text="The most that all its attempts may cost. Empty: no limit."
    )
    wanted = models.CharField(max_length=12, choices=choices(IdeaRequest), blank=True, help_text="What the agent is asked for now.")
    remark = models.TextField(blank=True, help_text="What is to be changed, for a revision.")
    stop_cause = models.CharField(max_length=200, blank=True, help_text="Who asked to stop; empty if nobody did.")
    restarts = models.PositiveIntegerField(default=0, help_text="Automatic restarts of this request.")
    not_before = models.DateTimeField(null=True, blank=True, help_text="Back-off after a crash.")
    pauses = models.PositiveIntegerField(default=0, help_text="Pauses of this request for a rate limit or a fault of the machine.")
    paused_since = models.DateTimeField(null=True, blank=True)
    paused_until = models.DateTimeField(null=True, blank=True)
    paused_for = models.TextField(blank=True)
    questions = models.JSONField(default=list, blank=True, help_text="[{question, answers}]; the first answer is the suggested one.")
    answers = models.JSONField(null=True, blank=True, help_text="One text for each question. Empty until they are answered.")
    plan = models.ForeignKey(Plan, models.SET_NULL, null=True, blank=True, related_name="ideas", help_text="The version drafted last.")
    notes = models.JSONField(default=list, blank=True, help_text="What of the last draft was repaired, set or flagged.")
    account = models.JSONField(default=list, blank=True, help_text="Of a translation: [{line, end_line, text, became, why}].")
    problem = models.TextField(blank=True)
    cause = models.CharField(max_length=200, help_text="person:NAME or command:NAME.")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField()
    asked_by = models.UUIDField(
        null=True, blank=True, unique=True, editable=False, help_text="The form that asked for it: sent twice, it is one idea."
    )

    objects = ConfinedManager["Idea"]()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(condition=~Q(text="") | ~Q(document=""), name="idea_says_something"),
            models.CheckConstraint(condition=Q(wanted="") | Q(problem=""), name="idea_at_work_has_no_problem"),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def title(self) -> str:
        """Its first line, short enough for a list."""
        first = next((line.strip("# \t") for line in (self.text or self.document).split("\n") if line.strip("# \t")), "An idea")
        return first if len(first) <= 100 else first[:99].rstrip() + "…"

    @property
    def waits_for_answers(self) -> bool:
        """Whether there are questions that nobody has answered or skipped."""
        return bool(self.questions) and self.answers is None

    @property
    def known_usd(self) -> Decimal | None:
        """What it has cost, for people; None while agents were at work that report no cost."""
        return self.spent_usd() if not self.attempts.exists() or self.attempts.filter(cost_usd__isnull=False).exists() else None

    def spent_usd(self, *, ended: bool = False) -> Decimal:
        """What its attempts have cost, as far as that is known; `ended`: without the one that runs."""
        attempts = self.attempts.filter(ended_at__isnull=False) if ended else self.attempts.all()
        found = attempts.aggregate(spent=models.Sum("cost_usd"))["spent"]
        return found if found is not None else Decimal(0)


class IdeaAttempt(SupervisedProcess):
    """One try of an agent at what an idea asks of it."""

    idea = models.ForeignKey(Idea, models.CASCADE, related_name="attempts")
    asked_for = models.CharField(max_length=12, choices=choices(IdeaRequest))

    objects = ConfinedManager["IdeaAttempt"]()

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["idea", "number"], name="idea_attempt_number_once"),
            models.UniqueConstraint(fields=["idea"], condition=Q(ended_at__isnull=True), name="one_live_attempt_per_idea"),
        ]

    def __str__(self) -> str:
        return f"{self.idea}, attempt {self.number}"

    @property
    def doing(self) -> str:
        """What it does now: "Reading the repository: Read src/app.py"."""
        activity = str((self.heartbeat or {}).get("activity", ""))
        return f"{self.progress}: {activity}" if self.progress and activity not in ("", "start", "draft", "agent") else self.progress
