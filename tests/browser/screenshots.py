"""Draw every page in every state: `make screenshots`, or python -m tests.browser.screenshots FOLDER [NAME ...].

Rows are made for the purpose in a database of its own; nothing of an installation is touched.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from tests.local_server import serving

if TYPE_CHECKING:
    from batches.models import Batch

DESKTOP, PHONE = (1280, 860), (390, 844)


@dataclass(frozen=True)
class Shot:
    name: str
    path: str
    size: tuple[int, int] = DESKTOP
    dark: bool = False
    whole: bool = True
    signed_in: bool = True


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of each request."""


class Threaded(ThreadingMixIn, WSGIServer):
    daemon_threads = True


def build_rows() -> list[Shot]:
    """Make the rows, and name what to draw of them. Needs a migrated database."""
    from batches.core.gates.evidence import Difference
    from batches.metrics import facts
    from batches.models import AttemptPrompt
    from tests.batches import builders

    titles = {
        "1": "Set up the package",
        "2a": "Count words and sentences",
        "2b": "Read text from files and pipes",
        "3": "Put it all behind one command",
    }
    shape = "1 -> 2a 2b 2c -> 3a 3b -> 4"
    titles |= {"2c": "Measure readability", "3a": "Print a report", "3b": "Write JSON and CSV", "4": "Document and release"}
    project = builders.make_project("Sample project")
    done = builders.make_batch(
        shape,
        states=dict.fromkeys(titles, "succeeded"),
        run_state="succeeded",
        titles=titles,
        tokens=True,
        title="Text statistics",
        report=REPORT,
    )
    failed = builders.make_batch(
        "1 -> 2a 2b -> 3",
        states={"1": "succeeded", "2a": "failed", "2b": "succeeded", "3": "blocked"},
        run_state="failed",
        titles=titles | {"3": "Release once it is approved"},
        title="Release that needs an approval",
        report=REPORT.replace("succeeded", "failed"),
    )
    live = builders.make_batch(
        shape,
        states={"1": "succeeded", "2a": "succeeded", "2b": "running", "2c": "running"},
        run_state="running",
        titles=titles,
        tokens=True,
        title="Text statistics, second edition",
    )
    builders.make_conflict(live, "textstats/cli.py", ("3a", "3b"), "serialize")
    builders.make_batch(run_state=None, title="Prepared, not started", project=project)
    limited = builders.limited_batch(titles=titles)
    wide = builders.wide_batch(500)
    gates = builders.ledger_batch()
    put_off = builders.put_off_batch(titles=titles)
    unrun = builders.make_plan(UNRUN_GATES, project=project, title="Gates of every kind")
    builders.make_secrets(project)
    bad = builders.make_plan(BAD_PLAN, project=project, title="A plan with faults", errors=2)
    builders.make_review(done, "after", "approved_with_warnings")
    builders.make_review(failed, "before", "needs_revision")
    builders.make_context_change(done, "proposed")
    words = Difference("evidence_differs", "the exit code is 0 in the ledger and 1 in the note on cccccccccccc")
    builders.make_verification(done, Difference("status", "passed then, failed now"), words)
    builders.make_verification(failed, ended_at=None, agrees=None, result=None, progress="3 of 8: 2a, attempt 1")
    make_git_rows(done, live)
    builders.make_chain(failed, "stopped", "execute")
    builders.make_linear_issues(failed)
    builders.make_pull_request(done)
    good = done.plan
    builders.Plan.objects.filter(pk=good.pk).update(text=example("text-statistics.md"), phase_count=7, stage_count=4)
    conflict = builders.make_plan(example("file-conflict.md"), project=project, title="Two phases, one file")
    by_size = {size: builders.make_plan(builders.plan_text(size), project=project, title=f"{size} phases") for size in (4, 40, 500)}
    edited = example("file-conflict.md").replace("**Complexity**: low", "**Complexity**: medium", 1) + "\nA closing word.\n"
    second = builders.make_plan(edited, project=project, title="Two phases, one file", first_version=conflict, version=2)
    ideas = {name: builders.make_idea(project, **fields) for name, fields in builders.IDEAS.items()}
    builders.Idea.objects.filter(pk=ideas["drafted"].pk).update(plan=second)
    owner = builders.get_user_model().objects.filter(is_superuser=True).first() or builders.make_user()
    builders.make_people(owner)
    builders.make_notifications(owner, done, failed)
    builders.make_hosts()
    someone = builders.get_user_model().objects.get(username="grace")
    told = failed.phases.get(key="2a").tasks.latest("pk").attempts.latest("pk")
    prompt = "Carry out this phase of a larger plan.\n\n## Limits\n\n- Time: 30 minutes from the start.\n"
    AttemptPrompt.objects.create(attempt=told, sha256="c0ffee" * 10 + "cafe", characters=18_240, text=prompt * 12)
    facts.rebuild()
    pages = [
        ("batches", "/batches/"),
        ("batch", f"/batches/{live.number}/"),
        ("batch-limits", f"/batches/{limited.number}/"),
        ("batch-put-off", f"/batches/{put_off.number}/"),
        ("execute-models", f"/batches/{limited.number}/execute/"),
        ("batch-failed", f"/batches/{failed.number}/"),
        ("batch-finished", f"/batches/{done.number}/"),
        ("batch-500", f"/batches/{wide.number}/"),
        ("batch-graph", f"/batches/{live.number}/graph/"),
        ("batch-graph-500", f"/batches/{wide.number}/graph/"),
        ("batch-timeline-500", f"/batches/{wide.number}/timeline/"),
        ("phase-log", f"/batches/{live.number}/phases/2b/"),
        ("phase-gates", f"/batches/{failed.number}/phases/2a/?tab=gates"),
        ("phase-spec", f"/batches/{failed.number}/phases/2a/?tab=spec"),
        ("phase-diff", f"/batches/{failed.number}/phases/2a/?tab=diff"),
        ("phase-result", f"/batches/{failed.number}/phases/2a/?tab=result"),
        ("phase-attempts", f"/batches/{failed.number}/phases/2a/?tab=attempts"),
        ("phase-prompt", f"/batches/{failed.number}/phases/2a/?tab=prompt"),
        ("gates", f"/batches/{gates.number}/gates/"),
        ("gates-phase", f"/batches/{gates.number}/phases/2b/?tab=gates"),
        ("gates-batch", f"/batches/{gates.number}/"),
        ("verify", f"/batches/{done.number}/verify/"),
        ("verify-running", f"/batches/{failed.number}/verify/"),
        ("review", f"/batches/{failed.number}/review/"),
        ("review-after", f"/batches/{done.number}/review/"),
        ("context", f"/batches/{done.number}/context/"),
        ("changes", f"/batches/{done.number}/changes/?phase=2a"),
        ("kept", f"/batches/{failed.number}/kept/"),
        ("plans", "/plans/"),
        ("plan", f"/plans/{good.pk}/"),
        ("plan-faults", f"/plans/{bad.pk}/"),
        ("plan-conflict", f"/plans/{conflict.pk}/"),
        ("plan-gates", f"/plans/{unrun.pk}/edit/"),
        *((f"plan-{size}", f"/plans/{plan.pk}/") for size, plan in by_size.items()),
        ("plan-500-graph", f"/plans/{by_size[500].pk}/graph/"),
        ("plan-version", f"/plans/{second.pk}/"),
        ("plan-edit", f"/plans/{second.pk}/edit/"),
        ("plan-edit-500", f"/plans/{by_size[500].pk}/edit/"),
        ("plan-diff", f"/plans/{second.pk}/diff/"),
        ("plan-checks", f"/plans/{second.pk}/checks/"),
        ("plan-new", f"/plans/new/?from={good.pk}"),
        ("plan-new-faults", f"/plans/new/?from={bad.pk}"),
        ("plan-new-empty", "/plans/new/"),
        ("idea-new", "/plans/idea/"),
        *((f"idea-{name}", f"/plans/ideas/{idea.pk}/") for name, idea in ideas.items()),
        ("execute", f"/plans/{conflict.pk}/execute/"),
        ("projects", "/projects/"),
        ("project", f"/projects/{project.slug}/"),
        ("project-settings", f"/projects/{project.slug}/?tab=settings"),
        ("project-agents", f"/projects/{project.slug}/agents/"),
        ("project-tools", f"/projects/{project.slug}/tools/"),
        ("project-gates", f"/projects/{project.slug}/gates/"),
        ("project-set-up", f"/projects/{project.slug}/set-up/"),
        ("project-environment", f"/projects/{project.slug}/environment/"),
        ("project-members", f"/projects/{project.slug}/members/"),
        ("project-forge", f"/projects/{project.slug}/forge/"),
        ("pull-request", f"/batches/{done.number}/pull-request/"),
        ("project-new", "/new-project/"),
        ("metrics", "/metrics/?period=all"),
        *((f"metrics-{section}", f"/metrics/?period=all&section={section}") for section in ("time", "tokens", "errors", "plans")),
        ("metrics-attempts", "/metrics/attempts/?period=all"),
        ("compare", f"/compare/?a={done.number}&b={failed.number}"),
        ("metrics-empty", "/metrics/?period=all&operation=generate"),
        ("health", "/health/"),
        ("settings", "/settings/"),
        ("users", "/users/"),
        ("user", f"/users/{someone.pk}/"),
        ("teams", "/teams/"),
        ("account", "/account/"),
        ("second-steps", "/account/second-steps/"),
        ("confirm", "/confirm/"),
        ("audit", "/audit/"),
        ("audit-empty", "/audit/?who=nobody"),
        ("not-found", "/nowhere/"),
    ]
    shots = [Shot(name, path) for name, path in pages]
    shots += [Shot(f"{name}-dark", path, dark=True) for name, path in pages]
    shots += [Shot(f"{name}-phone", path, size=PHONE) for name, path in pages]
    return [*shots, Shot("sign-in", "/sign-in/", signed_in=False), Shot("sign-in-dark", "/sign-in/", dark=True, signed_in=False)]


def make_git_rows(done: "Batch", live: "Batch") -> None:
    """A merge into main, work of failed attempts, and a conflict that is foreseen."""
    from django.utils import timezone

    from batches.models import Attempt, BaseMerge, PredictedConflict

    now = timezone.now()
    sides = {"from_commit": "c0ffee" * 6, "batch_commit": "decade" * 6, "to_commit": "decade" * 6}
    BaseMerge.objects.create(
        batch=done, base_branch="main", method="ff", cause="person:ada", asked_at=now, ended_at=now, merged=True, **sides
    )
    Attempt.objects.filter(outcome="failed").update(head_commit="decade" * 6, checkout_bytes=48_200_000)
    first, second = Attempt.objects.live().filter(task__run__batch=live)[:2]
    keys = [first.task.name, second.task.name]
    PredictedConflict.objects.create(
        run=first.task.run, file="textstats/cli.py", phases=keys, first=first, second=second, seen_at=now
    )


def example(name: str) -> str:
    return (Path(__file__).resolve().parents[2] / "examples" / "plans" / name).read_text(encoding="utf-8")


REPORT = """Batch 1: Text statistics - succeeded
  Stage 1: 1 succeeded
  Stage 2: 2a, 2b, 2c succeeded
  Stage 3: 3a, 3b succeeded
  Stage 4: 4 succeeded

Phases 7 of 7 done, 0 failed. Duration 11 min 00 s.
Branch ce/batch-1 holds the work; main is untouched.
"""

UNRUN_GATES = """# Gates of every kind

## Phases

### Phase 1: Count words

**Goal**: Count them
**Estimated Hours**: 2
**Complexity**: low
**Files Modified**: textstats/count.py, tests/test_count.py
**Dependencies**: None

**Implementation Steps**:

1. Write the counter

**Validation Gates**:

- [ ] `pytest -q tests/test_count.py` passes
- [ ] `textstats/count.py` exists
- [ ] The file has at least 40 lines
- [ ] `mytool check --strict`
- [ ] `for f in *.py; do echo $f; done`
- [ ] The names are easy to understand
"""

BAD_PLAN = """# A plan with faults

## Phases

### Phase 1: Set up

**Goal**: Make it
**Estimated Hours**: 2
**Complexity**: low
**Files Modified**: src/setup.py
**Dependencies**: None

### Phase 2: Use it

**Goal**: Use it
**Complexity**: low
**Files Modified**: src/use.py
**Dependencies**: Phase 9
"""


def serve() -> Iterator[str]:
    """Serve the site from this process while the generator stands; yields its address."""
    from django.core.wsgi import get_wsgi_application

    server = make_server("127.0.0.1", 0, get_wsgi_application(), server_class=Threaded, handler_class=Quiet)
    with serving(server):
        yield f"http://127.0.0.1:{server.server_port}"


def main(folder: Path, names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as data:
        os.environ |= {"CE_DATA_DIR": data, "DATABASE_URL": f"sqlite:///{data}/db.sqlite3", "LOG_LEVEL": "ERROR", "CE_POLL_SECONDS": "3600"}
        os.environ |= {"DJANGO_SETTINGS_MODULE": "ce_web.settings", "DJANGO_ALLOW_ASYNC_UNSAFE": "true"}
        import django

        django.setup()
        from django.core.management import call_command
        from django.test import Client

        from tests.batches import builders
        from tests.browser.chromium import chromium

        call_command("migrate", verbosity=0)
        shots = build_rows()
        client = Client()
        client.force_login(builders.get_user_model().objects.get(username="ada"))
        session = client.cookies["sessionid"].value
        folder.mkdir(parents=True, exist_ok=True)
        for address in serve():
            with chromium() as browser:
                for shot in [one for one in shots if not names or one.name in names]:
                    width, height = shot.size
                    context = browser.new_context(
                        viewport={"width": width, "height": height}, color_scheme="dark" if shot.dark else "light", device_scale_factor=1
                    )
                    if shot.signed_in:
                        context.add_cookies([{"name": "sessionid", "value": session, "url": address}])
                    context.set_default_timeout(120_000)  # a busy machine draws slowly
                    page = context.new_page()
                    page.goto(address + shot.path)
                    page.screenshot(path=folder / f"{shot.name}.png", full_page=shot.whole)
                    context.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
