"""Waiting for a person is told apart from duration, and limits are kept for each attempt.

The time between the end of a run and its reopening is booked as waiting for a person, from the log of moves. Facts are
removed, so that the receiver of post_migrate makes all of them anew by the new rules.
"""

from datetime import datetime

from django.db import migrations, models
from django.db.models import OuterRef, Subquery

ENDED = ("succeeded", "failed", "cancelled")


def book_waiting(apps, schema_editor):
    Run, Transition = (apps.get_model("batches", name) for name in ("Run", "Transition"))
    ended_at: dict[int, datetime] = {}
    spans: dict[int, list[tuple[datetime, datetime]]] = {}
    moves = Transition.objects.filter(task=None, attempt=None).order_by("pk").values_list("run_id", "event", "to_state", "at")
    for run, event, to_state, at in moves.iterator():
        if event == "reopen" and run in ended_at and at > ended_at[run]:
            spans.setdefault(run, []).append((ended_at[run], at))
        if to_state in ENDED:
            ended_at[run] = at
    for run in Run.objects.filter(pk__in=spans, started_at__isnull=False):
        seconds = sum((until - since).total_seconds() for since, until in spans[run.pk])
        run.idle = [[since.isoformat(), until.isoformat()] for since, until in spans[run.pk]]
        run.waited = run.waited | {"person": round(run.waited.get("person", 0.0) + seconds, 3)}
        run.save(update_fields=["idle", "waited"])


def keep_limits(apps, schema_editor):
    """What is known of limits is what the runs have now; they are taken for the project's."""
    Attempt, Run = (apps.get_model("batches", name) for name in ("Attempt", "Run"))
    own = Run.objects.filter(tasks__attempts=OuterRef("pk"))
    Attempt.objects.filter(ended_at__isnull=False).update(
        phase_limit_seconds=Subquery(own.values("phase_limit_seconds")[:1]), silence_seconds=Subquery(own.values("silence_seconds")[:1])
    )
    names = ("phase_limit_seconds", "silence_seconds", "max_parallel", "retry_model")
    runs = list(Run.objects.only("pk", *names))
    for run in runs:
        run.project_settings = {name: getattr(run, name) for name in names}
    Run.objects.bulk_update(runs, ["project_settings"], batch_size=500)


def remove_facts(apps, schema_editor):
    for name in ("AttemptFact", "RunFact", "StageFact"):
        facts = apps.get_model("batches", name).objects.all()
        facts._raw_delete(facts.db)


class Migration(migrations.Migration):
    dependencies = [("batches", "0026_texts_in_plain_english")]

    operations = [
        migrations.AddField(
            "attempt",
            "phase_limit_seconds",
            models.FloatField(blank=True, help_text="The time limit in force when it ended.", null=True),
        ),
        migrations.AddField(
            "attempt",
            "silence_seconds",
            models.FloatField(blank=True, help_text="The silence limit in force when it ended.", null=True),
        ),
        migrations.AddField(
            "attemptfact",
            "limit_seconds",
            models.FloatField(help_text="The time limit of a phase that it was under.", null=True),
        ),
        migrations.AddField(
            "attemptfact",
            "silence_seconds",
            models.FloatField(help_text="The silence limit that it was under.", null=True),
        ),
        migrations.AddField(
            "run",
            "idle",
            models.JSONField(blank=True, default=list, help_text="[[from, to]] when it lay failed or paused until a person acted."),
        ),
        migrations.AddField(
            "run",
            "project_settings",
            models.JSONField(
                blank=True, default=dict, help_text="The project's settings at its start or last retry; what changed since reaches a retry."
            ),
        ),
        migrations.RunPython(book_waiting, migrations.RunPython.noop),
        migrations.RunPython(keep_limits, migrations.RunPython.noop),
        migrations.RunPython(remove_facts, migrations.RunPython.noop),
    ]
