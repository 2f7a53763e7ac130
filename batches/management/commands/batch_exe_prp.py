"""`manage.py batch_exe_prp --batch N`: execute a batch, stage by stage."""

import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser

from batches.accounts.actor import Actor
from batches.core.engine.execute_options import ExecuteOptions
from batches.core.engine.pricing import MODELS
from batches.core.errors import NothingToDo, ServiceError
from batches.engine import agent_questions, execution, messages_to_agents, pause_and_cancel, retries
from batches.engine.execution_plan import plan_execution
from batches.engine.execution_preview import conflict_lines, model_lines, preview_lines
from batches.engine.stop_phase import stop_phase
from batches.engine.task_by_name import task_of
from batches.engine.try_now import try_now
from batches.management.commands._waiting import exit_code, find_batch, wait_for
from batches.management.refusing_command import RefusingCommand
from batches.models import Batch, OnConflict, Run, Scheduling
from batches.runs.provider_trouble import trouble_words
from subagents.backends import BACKENDS


class Command(RefusingCommand):
    help = "Execute a batch: phases stage by stage, gates judged by the server, results merged into ce/batch-N."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--batch", type=int, required=True, help="number of the batch")
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--stage", type=int, help="only the phases of this stage")
        what.add_argument("--phase", help="only this phase")
        what.add_argument("--retry-phase", action="append", metavar="K", help="retry this phase and those that it blocked (repeatable)")
        parser.add_argument(
            "--keep-session", action="store_true", help="with --retry-phase: the agent resumes its last session and work"
        )
        parser.add_argument("--remark", metavar="TEXT", default="", help="with --retry-phase: what the agent is told first")
        what.add_argument("--resume", action="store_true", help="resume all failed, blocked and cancelled phases")
        what.add_argument("--cancel", action="store_true", help="cancel the current run")
        what.add_argument("--stop-phase", metavar="K", help="stop this running phase alone; its work so far is kept")
        what.add_argument("--say", nargs=2, metavar=("K", "TEXT"), help="say something to the agent of phase K")
        what.add_argument("--answer", nargs=2, metavar=("K", "TEXT"), help="answer what the agent of phase K asks")
        what.add_argument("--try-now", action="store_true", help="try at once the machine or the provider that the run waits for")
        add_how(parser)
        parser.add_argument("--dry-run", action="store_true", help="show what would be done; change nothing")
        parser.add_argument("--detach", action="store_true", help="do not wait for the end")

    def handle(self, *args: Any, **options: Any) -> None:
        batch = find_batch(options["batch"])
        if options["remark"] and not options["retry_phase"]:
            raise CommandError("--remark is for --retry-phase: what its agent is told first.", returncode=2)
        try:
            if options["dry_run"]:
                self._preview(batch, options)
                return
            run = self._start(batch, options)
        except NothingToDo as nothing:
            self.stdout.write(str(nothing))
            return
        if options["say"] or options["answer"]:
            return
        if options["stop_phase"]:
            self.stdout.write(f"Phase {options['stop_phase']} of batch {batch.number} is being stopped; the others go on.")
            return
        if options["detach"] or options["cancel"]:
            doing = "is being cancelled" if options["cancel"] else "is going on"
            self.stdout.write(f"Batch {batch.number}, run {run.number} {doing}.")
            return
        run = wait_for(run, self.stderr)
        self.stdout.write(run.report)
        sys.exit(exit_code(run))

    def _start(self, batch: Batch, options: dict[str, Any]) -> Run:
        actor = Actor.command("batch_exe_prp")
        if options["cancel"]:
            run = batch.runs.latest("number")
            pause_and_cancel.cancel(run=run, actor=actor)
            return run
        if options["answer"]:
            run, (key, text) = batch.runs.latest("number"), options["answer"]
            agent_questions.answer(task=task_of(run, key), text=text, actor=actor)
            self.stdout.write("The agent is told, and goes on.")
            return run
        if options["say"]:
            run, (key, text) = batch.runs.latest("number"), options["say"]
            told = messages_to_agents.say(task=task_of(run, key), text=text, actor=actor)
            self.stdout.write("The agent is told at its next turn." if told else "Kept: the next attempt is told first.")
            return run
        if options["stop_phase"]:
            run = batch.runs.latest("number")
            stop_phase(task=task_of(run, options["stop_phase"]), actor=actor)
            return run
        if options["try_now"]:
            run = batch.runs.latest("number")
            try_now(run=run, actor=actor)
            return run
        if options["retry_phase"]:
            last = batch.runs.executions().order_by("-number").first()
            if last is None:
                raise ServiceError(f"Batch {batch.number} has not been executed yet.")
            retries.retry(
                run=last,
                actor=actor,
                names=options["retry_phase"],
                options=execute_options(options),
                resume_session=options["keep_session"],
                remark=options["remark"],
            )
            return last
        if options["resume"]:
            return retries.resume(batch=batch, actor=actor, options=execute_options(options))
        plan = plan_execution(batch=batch, options=execute_options(options))
        run = execution.execute(batch=batch, actor=actor, options=execute_options(options))
        for line in (*model_lines(plan), *conflict_lines(plan), *(f"Note: {note}" for note in plan.notes)):
            self.stderr.write(line, str)
        return run

    def _preview(self, batch: Batch, options: dict[str, Any]) -> None:
        if options["cancel"]:
            live = batch.runs.live().first()
            if live is None:
                raise ServiceError(f"Batch {batch.number} has no run that could be cancelled.")
            self.stdout.write(f"Would cancel run {live.number} ({live.get_operation_display()}) and end all its processes.")
        elif options["answer"]:
            task = task_of(batch.runs.latest("number"), options["answer"][0])
            self.stdout.write(f"Would answer the agent of phase {task.name}: {options['answer'][1]}")
        elif options["say"]:
            task = task_of(batch.runs.latest("number"), options["say"][0])
            self.stdout.write(f"Would say to the agent of phase {task.name}: {options['say'][1]}")
        elif options["stop_phase"]:
            task = task_of(batch.runs.latest("number"), options["stop_phase"])
            if not task.is_live:
                raise ServiceError(f"Phase {task.name} is {task.state}; only a running phase can be stopped.")
            self.stdout.write(f"Would stop phase {task.name} and keep its work so far; the others go on.")
        elif options["try_now"]:
            waiting = batch.runs.live().exclude(machine_fault="", trouble="").first()
            if waiting is None:
                raise ServiceError(f"Batch {batch.number} does not wait for the machine or the provider.")
            self.stdout.write(f"Would try now: {waiting.machine_fault or trouble_words(waiting)[0]}")
        elif options["retry_phase"] or options["resume"]:
            run = batch.runs.executions().order_by("-number").first()
            names = retries.retry_preview(run, options["retry_phase"] or (), execute_options(options)) if run else []
            if not names:
                raise NothingToDo(f"Nothing to do: batch {batch.number} has nothing that failed, was blocked or cancelled.")
            self.stdout.write(f"Would try again: {', '.join(names)}")
        else:
            plan = plan_execution(batch=batch, options=execute_options(options))
            self.stdout.write("\n".join(preview_lines(batch, plan)))
        self.stdout.write("Nothing was changed.")


def _phase_models(given: list[str] | None) -> dict[str, str]:
    found = {}
    for text in given or []:
        key, equals, name = text.partition("=")
        if not (key and equals and name):
            raise CommandError(f"--phase-model takes PHASE=MODEL, such as 2a=sonnet, not {text!r}.", returncode=2)
        found[key] = name
    return found


def _model(name: str | None) -> str | None:
    return "" if name == "auto" else name


def add_how(parser: CommandParser) -> None:
    """The options that say how an execution is carried out."""
    parser.add_argument("--max-parallel", type=int, help="phases at once (default: the project's)")
    parser.add_argument("--backend", choices=BACKENDS, help="who does the steps (default: the project's)")
    parser.add_argument("--timeout", type=float, metavar="MIN", help="time limit of a phase, in minutes")
    parser.add_argument("--model", help=f"of every phase: {', '.join(MODELS)}, or an exact id; auto: by complexity (default: project's)")
    parser.add_argument("--retry-model", help="model after a failed attempt")
    parser.add_argument("--repairs", type=int, metavar="N", help="how often an agent may repair its work after a failed gate; 0: never")
    parser.add_argument("--phase-model", action="append", metavar="K=MODEL", help="model of this phase (repeatable)")
    parser.add_argument("--budget", metavar="USD", help="what the whole batch may cost; also with --resume, to go on after its end")
    parser.add_argument("--phase-cap", metavar="USD", help="what one attempt may cost")
    parser.add_argument("--fail-fast", action="store_true", default=None, help="start nothing more once a phase has failed")
    parser.add_argument("--on-conflict", choices=OnConflict.values, help="what to do about phases that change the same file")
    parser.add_argument("--host", help="which of the project's hosts executes it (default: the one with the least work)")
    parser.add_argument("--scheduling", choices=Scheduling.values, help="stages wait for each other, or phases for their dependencies")


def execute_options(options: dict[str, Any]) -> ExecuteOptions:
    """The command line as options for the services."""
    return ExecuteOptions(
        stage=options.get("stage"),
        phase=options.get("phase"),
        max_parallel=options["max_parallel"],
        backend=options["backend"],
        timeout_minutes=options["timeout"],
        fail_fast=options["fail_fast"],
        on_conflict=options["on_conflict"],
        scheduling=options["scheduling"],
        model=_model(options["model"]),
        retry_model=_model(options["retry_model"]),
        repairs=options["repairs"],
        host=options["host"],
        models=_phase_models(options["phase_model"]),
        budget_usd=options["budget"],
        phase_cap_usd=options["phase_cap"],
    )
