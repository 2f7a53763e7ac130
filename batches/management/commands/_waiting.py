"""Shared by the commands for batches: finding a batch, waiting for a run while printing progress, the exit code."""

import logging
import sys
import time
from collections.abc import Callable

from django.conf import settings
from django.core.management.base import CommandError, OutputWrapper
from django.urls import reverse
from django.utils import timezone

from batches.core.engine.autopilot_steps import AutopilotState
from batches.core.engine.states import Operation, RunState, TaskState
from batches.core.text.words import duration
from batches.engine.disk_space import low_space_words
from batches.integrations.notifications import site_address
from batches.models import Attempt, AutopilotRun, Batch, Idea, Run, Task, Verification

CHECK_SECONDS, PREDICT_SECONDS = 0.5, 3.0
EXIT_INTERRUPTED = 130  # as in shells: 128 plus the number of the signal


def find_batch(number: int) -> Batch:
    """The batch with this number. Raises CommandError (exit code 2) and names the newest batch."""
    batch = Batch.objects.select_related("project", "plan").filter(number=number).first()
    if batch is None:
        last = Batch.objects.order_by("-number").values_list("number", flat=True).first()
        there = f"the newest is {last}" if last else "there is none yet: create one with batch_gen_prp"
        raise CommandError(f"There is no batch {number}; {there}.", returncode=2)
    return batch


def page_address(name: str, *args: object) -> str:
    """The address of a page, absolute if the installation knows its own."""
    return site_address(name, *args) or reverse(name, args=args)


class Progress:
    """Prints each change of a run as one line."""

    def __init__(self, run: Run, out: OutputWrapper) -> None:
        self.run_id, self.out = run.pk, out
        self.shown: dict[int, tuple[str, ...]] = {}
        self.checked = float("-inf")
        self.ended = False
        self.put_off = ""

    def done(self) -> bool:
        """Print what is new, reading at most twice a second. True once the run has ended and its report is written."""
        if self.ended or time.monotonic() - self.checked < CHECK_SECONDS:
            return self.ended
        self.checked = time.monotonic()
        run = Run.objects.select_related("batch__project").get(pk=self.run_id)
        attempts: dict[int, Attempt] = {}
        for attempt in Attempt.objects.filter(task__run=run).defer("log_tail", "spec", "heartbeat"):
            attempts[attempt.task_id] = attempt
        for task in run.tasks.select_related("phase", "stage").order_by("stage__number", "position", "pk"):
            latest = attempts.get(task.pk)
            progress = latest.progress if latest and task.state == TaskState.RUNNING else ""
            if latest is not None and (asked := latest.open_question) is not None:
                progress = f"asks: {asked['text']} (answer with --answer {task.name} TEXT)"
            shown = (task.state, str(latest.number if latest else 0), progress)
            if shown != self.shown.get(task.pk, (TaskState.PENDING, "0", "")):
                self._print(f"[stage {task.stage.number}] {self._name(task)}: {self._words(task, latest, progress)}")
            self.shown[task.pk] = shown
        if (words := run.put_off_words or low_space_words(run)) != self.put_off:
            self.put_off = words
            self._print(self.put_off or "It works again.")
        self.ended = not run.is_live and run.reported_at is not None
        return self.ended

    def _print(self, line: str) -> None:
        self.out.write(line, str)  # without colour: this is progress, not an error
        self.out.flush()

    @staticmethod
    def _name(task: Task) -> str:
        return f"Phase {task.phase.key}" if task.phase else "Gates on the merged tree"

    @staticmethod
    def _words(task: Task, attempt: Attempt | None, progress: str) -> str:
        state = task.state
        words = [str(state)]
        if attempt is not None and attempt.number > 1:
            words.append(f"(attempt {attempt.number})")
        if progress:
            words.append(f"- {progress}")
        if state == TaskState.SUCCEEDED and attempt is not None and attempt.seconds is not None:
            words.append(f"in {duration(attempt.seconds)}")
        if state == TaskState.FAILED:
            words.append(f"- {task.reason}: {task.message}")
        elif state in (TaskState.BLOCKED, TaskState.CANCELLED):
            words.append(f"- {task.message}")
        return " ".join(words)


def wait_for(run: Run, out: OutputWrapper) -> Run:
    """Print progress until the run has ended; return it reloaded. If no cluster runs on this host, this command runs the engine.

    Ctrl-C does not stop the run: it prints how to stop it and exits with EXIT_INTERRUPTED.
    """
    tick_until_done(Progress(run, out).done, _goes_on(run.batch.number), out)
    return Run.objects.select_related("batch__project").get(pk=run.pk)


def wait_for_verification(one: Verification, out: OutputWrapper) -> Verification:
    """`wait_for` for a verification; prints how far it is."""
    shown = ""

    def ended() -> bool:
        nonlocal shown
        row = Verification.objects.only("progress", "ended_at").get(pk=one.pk)
        if row.progress not in ("", shown):
            shown = row.progress
            out.write(shown, str)
            out.flush()
        return not row.is_open

    number = one.batch.number
    tick_until_done(ended, f"The verification goes on. See it: the page of batch {number}, or batches/batch-{number}.verify.json.", out)
    return Verification.objects.select_related("batch").get(pk=one.pk)


def wait_for_idea(idea: Idea, out: OutputWrapper) -> Idea:
    """`wait_for` for what the agent is asked about an idea; prints what it does."""
    shown = ""

    def ended() -> bool:
        nonlocal shown
        attempt = idea.attempts.order_by("-number").only("progress", "heartbeat", "ended_at").first()
        said = attempt.doing if attempt is not None and attempt.ended_at is None else ""
        said = Idea.objects.values_list("paused_for", flat=True).get(pk=idea.pk) or said
        if said not in ("", shown):
            shown = said
            out.write(shown, str)
            out.flush()
        return not Idea.objects.exclude(wanted="").filter(pk=idea.pk).exists()

    tick_until_done(ended, f"The agent goes on. See it, and stop it: {page_address('batches:idea', idea.pk)}", out)
    return Idea.objects.select_related("project", "plan").get(pk=idea.pk)


def _goes_on(number: int) -> str:
    """What is said of a run when a command no longer waits for it."""
    return (
        f"Batch {number} goes on. Watch it: manage.py batch_status --batch {number}. Stop it: Cancel on its page, "
        f"or manage.py batch_exe_prp --batch {number} --cancel."
    )


def tick_until_done(done: Callable[[], bool], interrupted: str, out: OutputWrapper) -> None:
    from batches.engine.ticker import tick_until  # here: most commands that find a batch wait for nothing

    # The progress output already shows what the engine would log.
    logging.getLogger("batches").setLevel(logging.ERROR)
    try:
        tick_until(done, _predict)
    except KeyboardInterrupt:
        out.write(f"\n{interrupted} (Without a running `manage.py up` it waits for one.)", str)
        out.flush()
        sys.exit(EXIT_INTERRUPTED)


def _predict() -> None:
    """Predict conflicts, for a short time only: the same process reads the heartbeats."""
    from batches.engine.predictions import predict_conflicts  # as above

    predict_conflicts(settings.CE_HOST, timezone.now(), PREDICT_SECONDS)


class AutopilotProgress:
    """Prints the progress of each run of the autopilot from the current one, and each report except the last."""

    def __init__(self, autopilot_run: AutopilotRun, out: OutputWrapper, reports: OutputWrapper) -> None:
        self.autopilot_run_id, self.out, self.reports = autopilot_run.pk, out, reports
        self._show(autopilot_run.run)

    def done(self) -> bool:
        """True once the autopilot is no longer active and its last run has ended."""
        if not self.progress.done():
            return False
        autopilot_run = AutopilotRun.objects.select_related("run").get(pk=self.autopilot_run_id)
        if self.run.number < autopilot_run.run.number:
            self.reports.write(Run.objects.get(pk=self.run.pk).report + "\n")
            # After a short run, several others may have followed since the last check.
            self._show(Run.objects.filter(batch=self.run.batch_id, number__gt=self.run.number).earliest("number"))
            return False
        return autopilot_run.state != AutopilotState.GOING

    def _show(self, run: Run) -> None:
        self.run, self.progress = run, Progress(run, self.out)
        moment = f" {run.review.moment}" if run.operation == Operation.REVIEW else ""
        self.out.write(f"[{run.get_operation_display()}{moment}] run {run.number}", str)


def wait_for_autopilot(autopilot_run: AutopilotRun, out: OutputWrapper, reports: OutputWrapper) -> AutopilotRun:
    """`wait_for` for all runs of an autopilot; writes each report to `reports`. Returns the autopilot run, reloaded."""
    progress = AutopilotProgress(autopilot_run, out, reports)
    tick_until_done(progress.done, _goes_on(autopilot_run.batch.number), out)
    autopilot_run = AutopilotRun.objects.select_related("run", "batch").get(pk=autopilot_run.pk)
    reports.write(autopilot_run.run.report)
    return autopilot_run


def exit_code(run: Run) -> int:
    """0 if the run succeeded, else 1."""
    return 0 if run.state == RunState.SUCCEEDED else 1
