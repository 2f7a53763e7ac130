"""Every address of the site, over objects that exist: what tests walk that hold for all pages. A new address must be named here."""

from collections.abc import Iterator

from django.contrib.auth.models import Group, User
from django.urls import URLPattern, URLResolver, reverse
from django.utils import timezone

from batches.accounts.sign_in_links import make_link
from batches.models import Notification, Project
from batches.pages import urls as pages
from ce_web import urls as site
from tests.batches import builders


class Objects:
    """A batch with something of every kind, in a project, and who owns a token."""

    def __init__(self, project: Project, user: User) -> None:
        self.project, self.user = project, user
        self.batch = builders.failed_batch(project=project)
        times = {"started_at": timezone.now(), "ended_at": timezone.now(), "reported_at": timezone.now()}
        limits = {"max_parallel": 1, "phase_limit_seconds": 60, "silence_seconds": 60}
        self.batch.runs.create(number=2, operation="generate", state="succeeded", backend="steps", scheduling="stages", **limits, **times)
        self.review = builders.make_review(self.batch, "before", "needs_revision")
        self.context = builders.make_context_change(self.batch, "proposed")
        self.chain = builders.make_chain(self.batch, "stopped", "execute")
        self.conflict = builders.make_conflict(self.batch)
        self.phase = self.batch.phases.get(key="2a")
        self.gate = self.phase.gates.first()
        self.task = self.phase.tasks.latest("pk")
        self.attempt = self.task.attempts.latest("pk")
        self.sign_off = builders.make_sign_off(self.batch.phases.get(key="1").gates.get(kind="unverified"))
        self.other_plan = builders.make_plan(project=self.project, first_version=self.batch.plan, version=2)
        for result in ({}, None):
            self.batch.verifications.create(host="one", asked_at=timezone.now(), ended_at=timezone.now(), result=result)
        self.idea = builders.make_idea(project)
        at = timezone.now()
        kept = {"event": "ended", "channel": "mail", "about": "sample", "text": "It has ended.", "created_at": at, "next_try_at": at}
        self.notice = Notification.objects.create(run=self.batch.runs.first(), sent_at=at, **kept)
        self.comment = builders.make_comment(self.attempt)
        self.team = Group.objects.create(name="Sample team")
        self.token = user.api_tokens.create(name="sample", digest="d" * 64, ending="abcd", created_at=timezone.now())

    def values(self, name: str) -> dict[str, object]:
        """The arguments that the address called `name` may take."""
        of_attempt = ("log", "diff", "log_text", "transcript", "transcript_jsonl", "transcript_md", "comment", "viewed")
        rows = dict.fromkeys(of_attempt, self.attempt) | dict.fromkeys(("go_on", "leave"), self.chain)
        rows |= {"sign_off_gate": self.gate, "withdraw_sign_off": self.sign_off, "decide": self.conflict}
        rows |= dict.fromkeys(("retry_task", "stop_task", "say", "answer"), self.task)
        rows |= {"resolve_comment": self.comment}
        rows |= {"overrule": self.review, "decide_context": self.context, "token_revoke": self.token}
        rows |= {"team_change": self.team, "idea": self.idea, "message_again": self.notice}
        rows |= dict.fromkeys(("user", "user_active", "user_reset", "end_sessions_of"), self.user)
        values: dict[str, object] = {"number": self.batch.number, "key": self.phase.key, "stage_number": 1, "slug": self.project.slug}
        rows |= dict.fromkeys(("api_idea", *(f"api_idea_{verb}" for verb in ("answer", "revise", "again", "stop", "undo"))), self.idea)
        if name in rows or name.startswith("plan_") or name == "api_plan":
            values["pk"] = rows[name].pk if name in rows else self.batch.plan_id
        if name == "sign_in_link":
            values["uidb64"], values["token"] = make_link(self.user, "http://x/").rstrip("/").split("/")[-2:]
        return values | {"name": "duration", "run": 1}


def named() -> Iterator[tuple[str, URLPattern]]:
    """(the name that `reverse` takes, the pattern) of every address but those of Django's administration."""
    for pattern in [*site.urlpatterns, *pages.urlpatterns]:
        if isinstance(pattern, URLPattern) and pattern.name:
            yield (f"batches:{pattern.name}" if pattern in pages.urlpatterns else pattern.name), pattern
        else:
            assert isinstance(pattern, URLResolver) or str(pattern.pattern) in ("favicon.ico", "admin/login/"), pattern


def every_address(objects: Objects) -> dict[str, str]:
    """{name: path}; AssertionError for an address whose arguments are not known here."""
    found = {}
    for name, pattern in named():
        values = objects.values(name.removeprefix("batches:"))
        lacking = set(pattern.pattern.converters) - set(values)
        assert not lacking, f"say in {__name__} what {lacking} of the address {name} is"
        found[name] = reverse(name, kwargs={key: values[key] for key in pattern.pattern.converters})
    return found
