"""How the ticker has done what is asked of the agent about an idea (docs/ideas.md).

A request is a column of the idea (engine/ideas.py). The ticker of a host starts a supervised process for it, and the rules of
core/engine/decide.py judge that process as they judge an attempt of a batch: silence, time, crashes, rate limits, budget. The
agent reads a checkout that is thrown away; nothing is committed.
"""

import logging
import os
import secrets
import shlex
import shutil
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction

from batches.accounts.actor import Actor
from batches.core.engine import decide as core
from batches.core.engine.budget import LEAST_USD, Budget, reservation, tighter
from batches.core.engine.failure_reasons import why
from batches.core.engine.pricing import BACKENDS_WITHOUT_MODEL, choose_model
from batches.core.engine.states import FailureReason, RunState, TaskState
from batches.core.errors import BatchError, ServiceError
from batches.core.gates.project_gates import COMMAND_TEXTS
from batches.core.plans.drafted import IdeaRequest, Repository, drafted_plan, read_questions, translated_lines, usual_hours
from batches.core.text.words import counted, usd
from batches.engine import attempt_results
from batches.engine.disk_space import low_file_system
from batches.engine.ideas import versions_of
from batches.engine.orchestrator import pause_backend
from batches.engine.sandboxing import sandbox_level
from batches.engine.snapshots import HISTORY, TickContext, process_view
from batches.engine.task_specs import claude_options, instructions_of, policy_of
from batches.engine.verifications import GONE_SECONDS, silence_of
from batches.gates.discovery import proposal_of
from batches.integrations.api_keys import key_for
from batches.models import Idea, IdeaAttempt, Project, Run
from batches.models.prepared import Prepared
from batches.plans.finished_phases import finished_phases
from batches.plans.versions import import_plan
from batches.projects.monthly_budget import month_of
from batches.repositories.repository import checked_repository
from batches.runs.project_settings import current_settings
from batches.runs.provider_trouble import hold_backend
from subagents import launcher
from subagents.contract import OrchestrationFiles, Role, SubagentError, TaskSpec, TaskType, replace
from subagents.documents import list_files
from subagents.machine_faults import fault_of

logger = logging.getLogger(__name__)

MIRROR_SECONDS = 1.0  # progress is written to the row at most this often
RELAUNCH_SECONDS = 3.0
WANTED: Prepared[Idea] = Prepared(
    lambda: Idea.objects.exclude(wanted="").select_related("project", "created_by", "plan").order_by("pk")
)
NAME = "idea"  # of the only task that the rules see


def advance_ideas(context: TickContext) -> int:
    """Start what is asked for while slots are free, follow it, conclude it. Returns how many agents run here."""
    found = WANTED.rows()
    running = IdeaAttempt.objects.filter(ended_at=None, host=context.host).count() if found else 0
    for idea in found:
        attempt = idea.attempts.filter(ended_at=None).defer("log_tail").first()
        if attempt is not None and attempt.host != context.host:
            if silence_of(attempt.host, context.now) >= GONE_SECONDS:
                gone = f"The host {attempt.host}, where the agent was at work, has not been heard of for a while. Try again."
                _Drafting(idea, attempt, context, 0).give_up(FailureReason.TIMEOUT, gone)
            continue
        free = 0 if low_file_system(idea.project.repository) else max(0, context.free_slots - running)
        try:
            running += _Drafting(idea, attempt, context, free).advance() - (attempt is not None)
        except (BatchError, SubagentError, OSError, ValueError) as error:
            logger.warning("idea=%s cannot be advanced: %s", idea.pk, error)
            if fault_of(error) is None:
                _fail(idea, f"It could not be carried out: {error}")
    return running


def _fail(idea: Idea, problem: str) -> None:
    Idea.objects.filter(pk=idea.pk).update(wanted="", problem=problem or "It came to nothing.", paused_for="")
    idea.wanted = ""


class _Drafting:
    """One idea in one round of the ticker, with its live attempt."""

    def __init__(self, idea: Idea, attempt: IdeaAttempt | None, context: TickContext, free: int) -> None:
        self.idea, self.attempt, self.context, self.free = idea, attempt, context, free

    def advance(self) -> bool:
        """Whether its agent runs now."""
        if self.attempt is not None and self.attempt.exited_at is None:
            self._observe(self.attempt)
        while self.idea.wanted:
            decisions = core.decide(self._snapshot(), self.context.now, self._policy())
            for decision in decisions:
                self._apply(decision)
            if not decisions or any(isinstance(one, core.Launch | core.Stop) for one in decisions):
                break
        return self.attempt is not None

    def give_up(self, reason: str, words: str, outcome: str = IdeaAttempt.Outcome.FAILED) -> None:
        """End the live attempt, if there is one, and the request."""
        self._end(outcome, reason, words)
        _fail(self.idea, words)

    def _rate_limit(self) -> core.RateLimit | None:
        """The pause that this idea, or anything else that uses the same backend, has met."""
        idea, now = self.idea, self.context.now
        own = [(idea.paused_since, idea.paused_until)]
        others = Run.objects.live().filter(backend=idea.project.backend, rate_limited_until__gt=now)
        same = Idea.objects.filter(project__backend=idea.project.backend, paused_until__gt=now).exclude(wanted="").exclude(pk=idea.pk)
        if self.attempt is None:
            own += others.values_list("rate_limited_since", "rate_limited_until")
            own += same.values_list("paused_since", "paused_until")
        known = [core.RateLimit(since, until) for since, until in own if since and until]
        return max(known, key=lambda one: one.until, default=None)

    def _snapshot(self) -> core.Snapshot:
        idea, attempt = self.idea, self.attempt
        budget = self._budget()
        task = core.TaskView(
            name=NAME,
            stage=1,
            position=1,
            state=TaskState.RUNNING if attempt is not None else TaskState.PENDING,
            restarts=idea.restarts,
            not_before=idea.not_before,
            attempt=None if attempt is None else process_view(attempt, self.context),
            reserve_usd=None if budget is None else self._reserve(budget),
        )
        return core.Snapshot(
            state=RunState.RUNNING,
            tasks=(task,),
            max_parallel=1,
            cancel_requested=bool(idea.stop_cause),
            free_slots=self.free,
            budget=budget,
            rate_limit=self._rate_limit(),
            rate_limits=idea.pauses,
            machine_faults=idea.pauses,
        )

    def _policy(self) -> core.Policy:
        own = current_settings(self.idea.project)
        patient = float("inf")
        return core.Policy(
            silence_seconds=patient if self.context.patient else float(own["silence_seconds"]),
            launch_seconds=patient if self.context.patient else settings.CE_LAUNCH_SECONDS,
            phase_limit_seconds=float(own["phase_limit_seconds"]),
            crash_restarts=settings.CE_CRASH_RESTARTS,
            rate_limit_seconds=settings.CE_RATE_LIMIT_SECONDS,
        )

    def _apply(self, decision: core.Decision) -> None:
        now = self.context.now
        match decision:
            case core.Launch(reserve_usd=reserve, max_cost_usd=cap):
                self._launch(reserve, cap)
            case core.Stop(reason=reason, force=force):
                self._stop(reason, force)
            case core.Succeed():
                self._conclude()
            case core.Fail(reason=reason, message=message, restart=restart):
                spoken = self._words(reason, message)
                restarts = self.idea.restarts
                self._end(IdeaAttempt.Outcome.FAILED, reason, spoken)
                if restart:
                    self._change(restarts=restarts + 1, not_before=now + timedelta(seconds=core.back_off_seconds(reason, restarts)))
                else:
                    _fail(self.idea, spoken)
            case core.Defer(until=until, message=message):
                self._end(IdeaAttempt.Outcome.DEFERRED, FailureReason.RATE_LIMITED, message)
                self._change(pauses=self.idea.pauses + 1, paused_since=now, paused_until=until, paused_for=message)
                pause_backend(self.idea.project.backend, core.RateLimit(now, until))
            case core.Hold(fault=fault, until=until, message=message) if fault in core.WAITING_FOR:  # it passes by itself
                self._end(IdeaAttempt.Outcome.DEFERRED, FailureReason.PROVIDER_FAULT, message)
                self._change(pauses=self.idea.pauses + 1, paused_since=now, paused_until=until, paused_for=message)
                hold_backend(self.idea.project.backend, fault, until, message, now)
            case core.Hold(fault=fault, until=until, message=message):  # a person has to put it right, and asks again then
                hold_backend(self.idea.project.backend, fault, until, message, now)
                spoken = self._words(FailureReason.AGENT_ERROR, message)
                self._end(IdeaAttempt.Outcome.FAILED, FailureReason.AGENT_ERROR, spoken)
                _fail(self.idea, spoken)
            case core.PutOff(until=until, message=message):
                self._end(IdeaAttempt.Outcome.DEFERRED, FailureReason.MACHINE_FAULT, message)
                self._change(pauses=self.idea.pauses + 1, paused_since=now, paused_until=until, paused_for=message)
            case core.Cancel(reason=reason, message=message):
                stopped = f"Stopped by {self.idea.stop_cause.partition(':')[2]}." if self.idea.stop_cause else ""
                self.give_up(reason, stopped or self._words(reason, message), IdeaAttempt.Outcome.CANCELLED)
            case core.Halt(reason=reason, message=message) if self.attempt is None:
                _fail(self.idea, self._words(reason, message))

    def _budget(self) -> Budget | None:
        """The idea's cap, or what its project's month leaves of it; None without either."""
        idea, project = self.idea, self.idea.project
        month = None if project.backend in BACKENDS_WITHOUT_MODEL else month_of(project, self.context.now, idea=idea.pk)
        return tighter(idea.cap_usd, idea.spent_usd(ended=True), month)

    def _reserve(self, budget: Budget) -> Decimal:
        """All that the idea's cap leaves; of the month only what earlier attempts cost, so that batches can start."""
        left = budget.limit_usd - budget.spent_usd
        if budget.month is not None:
            known = IdeaAttempt.objects.filter(idea__project=self.idea.project, cost_usd__gt=0, ended_at__isnull=False)
            costs = [cost for cost in known.order_by("-pk").values_list("cost_usd", flat=True)[:HISTORY] if cost]
            left = min(left, reservation(cap_usd=None, history_usd=costs or [LEAST_USD], limit_usd=left, max_parallel=1) or left)
        return max(LEAST_USD, left)

    def _words(self, reason: str, message: str) -> str:
        if reason == FailureReason.BUDGET:
            budget = self._budget()
            if budget is not None and budget.month is not None:
                month = budget.month
                return f"The project's monthly budget is reached: {usd(month.spent_usd)} of {usd(month.limit_usd)} is spent or set aside."
            return f"The cap is reached: {usd(self.idea.spent_usd())} of {usd(self.idea.cap_usd)} is spent. Raise it to try again."
        return why(reason, message)

    def _change(self, **columns: object) -> None:
        Idea.objects.filter(pk=self.idea.pk).update(**columns)
        for name, value in columns.items():
            setattr(self.idea, name, value)

    def _conclude(self) -> None:
        """Keep what the agent answered: its questions, or the plan as a new version. An answer of no use ends the request with words."""
        idea, attempt = self.idea, self.attempt
        assert attempt is not None  # only a live attempt succeeds
        try:
            result = launcher.observe(TaskSpec.from_json(attempt.spec)).result
            answer = result.report.get("answer") if result is not None else None
            if not isinstance(answer, dict):
                raise ServiceError("The agent's answer is gone: its files were removed.")
            with transaction.atomic():
                Idea.objects.select_for_update().get(pk=idea.pk)
                columns = self._kept(answer, attempt)
                self._change(**columns)
                self._end(IdeaAttempt.Outcome.SUCCEEDED)
        except (BatchError, SubagentError, PermissionDenied) as refusal:
            self.attempt = attempt
            self.give_up(FailureReason.AGENT_ERROR, str(refusal))

    def _kept(self, answer: dict[str, Any], attempt: IdeaAttempt) -> dict[str, Any]:
        """The idea's columns after this answer. Raises DraftRefused, ServiceError, PermissionDenied, SubagentError."""
        idea, project = self.idea, self.idea.project
        if attempt.asked_for == IdeaRequest.QUESTIONS:
            questions = [one.to_json() for one in read_questions(answer)]
            # Without a question there is nothing to wait for.
            return {"questions": questions, "answers": None if questions else [], "wanted": "" if questions else IdeaRequest.PLAN}
        repository = checked_repository(project)
        files = list_files(repository, attempt.base_commit)
        commands = _commands(project, files, attempt.base_commit)
        drafted = drafted_plan(
            answer,
            title=idea.title,
            repository=Repository(frozenset(files), attempt.base_commit, commands.get("test", "")),
            hours=usual_hours(finished_phases(), project.pk),
        )
        plan = import_plan(
            text=drafted.text,
            file_name="",
            project=project,
            actor=Actor(idea.cause, idea.created_by),
            edited=(*versions_of(idea), None)[0],
        )
        kept = {"plan": plan, "notes": list(drafted.notes), "wanted": ""}
        if attempt.asked_for == IdeaRequest.TRANSLATION:
            kept["account"] = [one.to_json() for one in translated_lines(idea.document, answer["account"])]
        return kept

    # Its process

    def _launch(self, reserve: Decimal | None, cap: Decimal | None) -> None:
        idea, context = self.idea, self.context
        repository = checked_repository(idea.project)
        repository.exclude()
        commit = repository.branch_commit(idea.project.base_branch)
        last = idea.attempts.order_by("-number").first()
        number = (last.number if last else 0) + 1
        place, slug = Path(settings.CE_DATA_DIR), idea.project.slug
        attempt = IdeaAttempt(
            idea=idea,
            asked_for=idea.wanted,
            number=number,
            token=secrets.token_hex(16),
            host=context.host,
            directory=str(place / "attempts" / slug / f"idea-{idea.pk}" / str(number)),
            checkout=str(place / "checkouts" / slug / f"idea-{idea.pk}" / "checkout"),  # the same for all, so that a session can go on
            base_commit=commit,
            sandbox=sandbox_level().level,
            launched_at=context.now,
            launched_clock=context.clock,
            reserved_usd=reserve,
            model=choose_model(idea.project.backend, "high", of_run=idea.project.model).model,
        )
        spec = self._spec(attempt, self._payload(list_files(repository, commit), commit), cap)
        if last is not None and last.session and last.base_commit == commit and os.path.isdir(last.directory):
            spec = replace(spec, session=last.session, payload={**spec.payload, "resume": {"attempt_dir": last.directory}})
        attempt.spec = spec.to_json()
        try:
            attempt.save(force_insert=True)
        except IntegrityError:
            return  # another host was faster
        self._change(paused_for="", not_before=None)
        self.attempt = attempt
        try:
            launcher.prepare(spec)
            launcher.launch(spec.attempt_dir, key_for(spec.backend))
        except (OSError, ValueError, SubagentError) as error:
            launcher.prevent_start(spec.attempt_dir)
            fault = fault_of(error, (spec.attempt_dir, spec.checkout, spec.repository))
            verdict = FailureReason.MACHINE_FAULT if fault else FailureReason.NEVER_STARTED
            told = {"exited_at": context.now, "verdict": verdict, "message": str(fault or f"It could not be launched: {error}")}
            IdeaAttempt.objects.filter(pk=attempt.pk).update(**told)

    def _spec(self, attempt: IdeaAttempt, payload: dict[str, Any], cap: Decimal | None) -> TaskSpec:
        idea, project = self.idea, self.idea.project
        own = current_settings(project)
        options = claude_options(project)
        if project.backend == "command":
            options = {"command": shlex.split(project.agent_command)}
        return TaskSpec(
            task_id=f"idea-{idea.pk}",
            type=TaskType.DRAFT,
            role=Role.GENERATOR,
            prp_id=f"idea-{idea.pk}",
            batch_id=0,
            run=idea.pk,
            stage=1,
            key=NAME,
            phase_name=idea.title,
            goal="",
            attempt=attempt.number,
            token=attempt.token,
            repository=project.repository,
            base_commit=attempt.base_commit,
            attempt_ref="",
            checkout=attempt.checkout,
            attempt_dir=attempt.directory,
            created_at=attempt.launched_at.isoformat(),
            timeout_seconds=float(own["phase_limit_seconds"]),
            heartbeat_seconds=min(settings.CE_HEARTBEAT_SECONDS, float(own["silence_seconds"]) / 2, 5.0),
            backend=project.backend,
            model=attempt.model,
            options=options,
            payload=payload,
            max_cost_usd=None if cap is None else float(cap),
            context_file=str(Path(attempt.directory).parent / f"context-{attempt.base_commit[:12]}.md") if project.shared_context else "",
            sandbox=attempt.sandbox,
            policy=policy_of(project),
            instructions=instructions_of(project, Role.GENERATOR),
        )

    def _payload(self, files: Sequence[str], commit: str) -> dict[str, Any]:
        idea = self.idea
        newest = (*versions_of(idea), None)[0]
        questions = idea.questions if idea.answers is not None else []
        return {
            "asked_for": str(idea.wanted),
            "idea": idea.text,
            "source": idea.source,
            "document": idea.document,
            "files": idea.files,
            "commands": _commands(idea.project, files, commit),
            "history": _history(idea.project),
            "answers": [
                {"question": one["question"], "answer": said} for one, said in zip(questions, idea.answers or [], strict=False)
            ],
            "plan": newest.text if newest is not None and idea.wanted == IdeaRequest.REVISION else "",
            "remark": idea.remark if idea.wanted == IdeaRequest.REVISION else "",
        }

    def _observe(self, attempt: IdeaAttempt) -> None:
        spec = TaskSpec.from_json(attempt.spec)
        observation, clock, now = launcher.observe(spec), self.context.clock, self.context.now
        changes: dict[str, object] = {}
        if observation.held and observation.started is not None:
            if attempt.started_at is None:
                started = attempt_results.wall_time(observation.started.started_at)
                changes |= {"started_at": started, "pid": observation.started.pid, "beat_clock": clock, "last_beat_at": now}
            beat, known = observation.heartbeat, attempt.heartbeat or {}
            due = attempt.beat_clock is None or clock - attempt.beat_clock >= MIRROR_SECONDS
            if beat is not None and due and beat.last_update != known.get("last_update"):
                changes |= attempt_results.heartbeat_fields(beat, now, clock)
                changes |= attempt_results.log_fields(observation.files.log, attempt.log_bytes)
        elif observation.held:
            return
        elif observation.started is None:
            last = attempt.relaunched_clock or attempt.launched_clock
            if attempt.stop_reason:
                launcher.prevent_start(attempt.directory)
            elif not 0 <= clock - last < RELAUNCH_SECONDS:  # the launch died with the process that made it
                changes["relaunched_clock"] = clock
                launcher.prepare(spec)
                launcher.launch(attempt.directory, key_for(spec.backend))
        elif not observation.started.pid or observation.ended is not None or not launcher.sweep(attempt.directory):
            verdict, message, result = attempt_results.verdict_of(attempt, spec, observation)
            changes = {"exited_at": now, "verdict": verdict, "message": message}
            changes |= attempt_results.end_fields(attempt, observation, result)
        if changes:
            IdeaAttempt.objects.filter(pk=attempt.pk, exited_at=None).update(**changes)
            attempt.refresh_from_db()

    def _stop(self, reason: FailureReason, force: bool) -> None:
        attempt = self.attempt
        assert attempt is not None  # only a live attempt is stopped
        IdeaAttempt.objects.filter(pk=attempt.pk).update(stop_reason=reason, stop_clock=self.context.clock)
        attempt.stop_reason, attempt.stop_clock = reason, self.context.clock
        if attempt.started_at is None and launcher.prevent_start(attempt.directory):
            return
        launcher.stop(attempt.directory, force)

    def _end(self, outcome: str, reason: str = "", message: str = "") -> None:
        """Close the live attempt, archive its files, and remove its checkout, which the repository has."""
        attempt, self.attempt = self.attempt, None
        if attempt is None:
            return
        now = self.context.now
        columns = {"ended_at": now, "outcome": outcome, "reason": reason, "message": message}
        IdeaAttempt.objects.filter(pk=attempt.pk, ended_at=None).update(**columns)
        logger.info("idea=%s attempt=%s %s %s %s", self.idea.pk, attempt.number, outcome, reason, message)
        spec = TaskSpec.from_json(attempt.spec)
        try:
            OrchestrationFiles(spec.repository).archive_task(0, spec.run, spec.name, spec.attempt)
        except (OSError, SubagentError) as error:
            logger.error("idea=%s attempt=%s archive: %s", self.idea.pk, attempt.number, error)
        for folder in (attempt.checkout, *(os.path.join(attempt.directory, name) for name in ("tmp", "home", "git"))):
            shutil.rmtree(folder, ignore_errors=True)


def _commands(project: Project, files: Sequence[str], commit: str) -> dict[str, str]:
    """{"lint": command, "test": command, …}: the project's gates, or what its files suggest. Raises SubagentError."""
    own = {name: getattr(project, f"{name}_command") for name in COMMAND_TEXTS}
    found = proposal_of(checked_repository(project), commit, files)
    detected = {name: one.command for name in COMMAND_TEXTS if (one := getattr(found, name, None)) is not None}
    return detected | {name: command for name, command in own.items() if command}


def _history(project: Project) -> list[str]:
    """What finished phases of the project were estimated at, as sentences for the agent."""
    usual = usual_hours(finished_phases(), project.pk)
    return [f"{counted(count, 'phase')} of {name} complexity: {hours:g} hours (median)" for name, (hours, count) in sorted(usual.items())]
