"""Task specs: the row of a new attempt, and the spec that its process reads. See docs/agents.md."""

import contextlib
import json
import os
import secrets
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from django.conf import settings

from batches.core.engine.decide import Launch
from batches.core.engine.pricing import BACKENDS_WITHOUT_MODEL, choose_model, model_of_attempt
from batches.core.engine.prp import Prp, render_prp
from batches.core.engine.roles import ROLES
from batches.core.engine.states import ENDED_TASK_STATES, Operation, TaskKind
from batches.core.gates.project_gates import GateRules
from batches.core.review.context_update import front_matter
from batches.core.review.outcome_review import review_outcome
from batches.core.review.prp_review import review_prp
from batches.core.review.types import ReviewTiming, capped
from batches.core.text.excerpt import telling_lines
from batches.engine.lease import lease_file
from batches.engine.repairs import ASK_FOR_REPAIR, ask_to_join, repair_words
from batches.engine.sandboxing import sandbox_level
from batches.engine.snapshots import TickContext
from batches.models import Attempt, Batch, Gate, Phase, Project, Result, Run, SignOff, Task
from batches.models.prepared import Prepared
from batches.plans.prp_document import issue_front_matter, prp_of
from batches.repositories.repository import folder_of, repository_of
from batches.review.phase_facts import done_of, facts_of, record_of
from subagents.agent_tools import ToolPolicy
from subagents.contract import GateKind, GateOrigin, GateSpec, Role, StepPlan, SubagentError, TaskSpec, TaskType
from subagents.contract import replace as replace_record
from subagents.mcp_servers import read_servers
from subagents.open_repository import attached_repository
from subagents.purse import FILE as PURSE

JUDGED_BY_FILES = (GateKind.COMMAND, GateKind.TESTS, GateKind.COVERAGE, GateKind.SYNTAX)  # kinds with judges' files
TRIED: Prepared[tuple[int, str, str, str]] = Prepared(
    lambda task: Attempt.objects.filter(task=task).order_by("-number").values_list("number", "outcome", "reason", "fault")
)
GATES: Prepared[Gate] = Prepared(lambda phase: Gate.objects.filter(phase=phase))
TITLES = 60  # of other phases that a prompt names
# Limits of what the prompt quotes from an earlier attempt.
GATE_CHARACTERS, GATE_LINES, LOG_LINES, EARLIER_CHARACTERS = 4_000, 10, 40, 24_000


def new_attempt(
    run: Run, task: Task, base_commit: str, context: TickContext, launch: Launch, ready_at: datetime, *, number: int = 0
) -> Attempt:
    """Create the row of the next attempt, with the spec that its process will read.

    The attempt's number keeps an older process from writing for a newer attempt. `launch` says how much of the budget is
    reserved for it. Since `ready_at` it has waited for what the run waits for. A `number` is that of an attempt that is taken up.
    """
    tried = TRIED.rows(task=task.pk)
    last = tried[0][0] if tried else 0
    number = number or last_kept(run, task, last) + 1
    batch = run.batch
    place = f"{place_of(run, task)}/{number}"
    attempt = Attempt(
        task=task,
        number=number,
        token=secrets.token_hex(16),
        host=context.host,
        directory=str(Path(settings.CE_DATA_DIR) / "attempts" / batch.project.slug / place),
        checkout=str(Path(settings.CE_DATA_DIR) / "checkouts" / batch.project.slug / place.replace("/", "-")),
        ref=f"refs/ce/attempts/{place}",
        base_commit=base_commit,
        sandbox=sandbox_level().level,
        launched_at=context.now,
        launched_clock=context.clock,
        reserved_usd=launch.reserve_usd,
        ready_at=ready_at,
        waited_for=run.waiting_for if context.now > ready_at else "",
    )
    spec = build_spec(run, task, attempt)
    if last and (task.resume_session or task.repairs):
        spec = resumed_spec(spec, task)
    if task.remark and run.backend not in BACKENDS_WITHOUT_MODEL:
        attempt.remark, attempt.remark_cause = task.remark, task.remark_cause
        spec = replace_record(spec, payload={**spec.payload, "remark": task.remark})
    if task.repairs:
        attempt.repair = repair_words(run, task)
        spec = replace_record(spec, timeout_seconds=max(1.0, spec.timeout_seconds - task.rounds_seconds))
    spec = replace_record(
        spec,
        model=model_of(run, task, [(reason, fault) for _, outcome, reason, fault in reversed(tried) if outcome == Attempt.Outcome.FAILED]),
        earlier_failure=earlier_failure(task) if last and run.backend not in BACKENDS_WITHOUT_MODEL else "",
        max_cost_usd=None if launch.max_cost_usd is None else float(launch.max_cost_usd),
    )
    attempt.spec, attempt.model = spec.to_json(), spec.model
    attempt.save(force_insert=True)
    return attempt


def place_of(run: Run, task: Task) -> str:
    """What folders and references of the task's attempts are called, without their numbers."""
    return f"batch-{run.batch.number}/run-{run.number}/{task.name}"


def last_kept(run: Run, task: Task, last: int) -> int:
    """The highest attempt number in folders or the repository, at least `last`: more only after a restore."""
    place = place_of(run, task)
    folder = Path(settings.CE_DATA_DIR) / "attempts" / run.batch.project.slug / place
    with contextlib.suppress(FileNotFoundError):
        last = max((last, *(int(name) for name in os.listdir(folder) if name.isdecimal())))
    with contextlib.suppress(SubagentError):
        repository = repository_of(run.batch)
        while repository.reference(f"refs/ce/attempts/{place}/{last + 1}"):
            last += 1
    return last


def resumed_spec(spec: TaskSpec, task: Task) -> TaskSpec:
    """The spec that continues the last attempt's session and work, if they are on this host and the base is the same.

    A repair continues the work also where the session is gone.
    """
    last = task.attempts.select_related("task").order_by("-number").first()
    if task.repairs and last is not None and last.merge_conflicts and last.outcome == Attempt.Outcome.REPAIRED:
        with contextlib.suppress(SubagentError):  # where git cannot, it does its work anew on what was merged
            return _both_sides(spec, last)
        return spec
    if last is None or last.base_commit != spec.base_commit:
        return spec
    session = last.session if Path(last.directory).is_dir() else ""
    if not session and not task.repairs:
        return spec
    start = last.head_commit or str(last.spec.get("payload", {}).get("start", "")) or last.base_commit
    return replace_record(spec, session=session, payload={**spec.payload, "resume": {"attempt_dir": last.directory}, "start": start})


def _both_sides(spec: TaskSpec, last: Attempt) -> TaskSpec:
    """The spec of an attempt that joins its last work with what was merged meanwhile. It starts from a commit with both.

    In the files that collide git's marks say which side is which; the standard gate on such marks refuses what is left of them.
    Raises SubagentError.
    """
    repository = attached_repository(spec.repository)
    tree = repository.joined_tree(spec.base_commit, last.head_commit)
    message = f"{spec.prp_id}: The work of attempt {last.number} beside what was merged meanwhile\n\nIts conflicts are not resolved yet."
    start = repository.make_commit(tree, (spec.base_commit,), message)
    session = last.session if Path(last.directory).is_dir() else ""
    return replace_record(spec, session=session, payload={**spec.payload, "resume": {"attempt_dir": last.directory}, "start": start})


def earlier_failure(task: Task) -> str:
    """Why the task's last attempt failed, for the agent that tries again; "" when it did not fail."""
    last = task.attempts.order_by("-number").first()
    if last is None or last.outcome not in (Attempt.Outcome.FAILED, Attempt.Outcome.REPAIRED):
        return ""
    parts = [f"Attempt {last.number}: {last.reason}. {last.message}"]
    if last.outcome == Attempt.Outcome.REPAIRED:
        parts.insert(0, ask_to_join(last) if last.merge_conflicts else ASK_FOR_REPAIR)
    for check in last.gate_checks.filter(status="failed").select_related("gate"):
        shown = f"`{check.command}` ended with exit code {check.exit_code}" if check.command else check.note
        told = [f"{line}\n" for line in telling_lines(check.output[:-GATE_CHARACTERS], GATE_LINES)]
        printed = "".join([*told, "…\n"] if told else ()) + check.output[-GATE_CHARACTERS:]
        parts.append(f'Gate "{check.gate.text if check.gate else check.text}": {shown}\n{printed}')
    lines = [line for text in last.log_tail.split("\n")[-LOG_LINES:] if (line := _log_message(text))]
    if lines:
        parts.append("The last lines of its log:\n" + "\n".join(lines))
    return "\n\n".join(parts)[:EARLIER_CHARACTERS]


def _log_message(line: str) -> str:
    try:
        return str(json.loads(line)["message"])
    except (ValueError, KeyError, TypeError):  # the first line may be cut off
        return ""


def model_of(run: Run, task: Task, failures: Sequence[tuple[str, str]]) -> str:
    """The model of the task's next attempt after `failures` (reason, fault); "" for a stage check, which needs none."""
    if task.phase is None:
        return ""
    choice = choose_model(run.backend, task.phase.complexity, of_phase=task.model, of_run=run.model, of_retries=run.retry_model)
    return model_of_attempt(choice, failures)


def build_spec(run: Run, task: Task, attempt: Attempt, document: Prp | None = None) -> TaskSpec:
    """The spec of an attempt, as its process reads it. `document` is what a generator writes, if it is known."""
    batch, phase = run.batch, task.phase
    role, kind = ROLES[Operation(run.operation)]
    rules = GateRules.from_json(run.gate_rules)
    common = TaskSpec(
        task_id=task.name if phase is None else f"phase-{phase.key}",
        type=TaskType.STAGE_CHECK if phase is None else kind,
        role=role,
        prp_id=f"PRP-{batch.number}.{task.stage.number}" if phase is None else phase.prp_id,
        batch_id=batch.number,
        run=run.number,
        stage=task.stage.number,
        key=task.name if phase is None else phase.key,
        phase_name=f"Gates of stage {task.stage.number} on the merged tree" if phase is None else phase.title,
        goal="" if phase is None else phase.goal,
        attempt=attempt.number,
        token=attempt.token,
        repository=folder_of(batch),
        base_commit=attempt.base_commit,
        batch_base=batch.base_commit,
        attempt_ref=attempt.ref,
        checkout=attempt.checkout,
        attempt_dir=attempt.directory,
        created_at=attempt.launched_at.isoformat(),
        timeout_seconds=run.phase_limit_seconds,
        heartbeat_seconds=min(settings.CE_HEARTBEAT_SECONDS, run.silence_seconds / 2),
        backend=run.backend,
        options=_options(run),
        context_file=_context_file(attempt, task.stage.number) if batch.project.shared_context else "",
        rerun_gates=rules.rerun,
        sandbox=attempt.sandbox,
        policy=policy_of(batch.project),
        environment=environment_of(batch.project),
        instructions=instructions_of(batch.project, role),
        lease=str(lease_file()) if settings.CE_WORKER else "",
        purse="" if run.backend in BACKENDS_WITHOUT_MODEL else str(Path(attempt.directory).parents[2] / PURSE),
    )
    if phase is None:
        return replace_record(common, payload=_stage_payload(run, task, rules))
    full = replace_record(
        common,
        complexity=phase.complexity,
        estimated_hours=phase.hours,
        steps=tuple(StepPlan.from_json(step) for step in phase.steps),
        gates=_gates_of(phase, rules) if run.operation == Operation.EXECUTE else (),
        files_modified=tuple(phase.files),
        dependencies=tuple(phase.dependencies),
        section=phase.section,
        overview=batch.overview,
        protected=tuple(_lines(batch.project.protected_paths)),
    )
    if run.operation == Operation.EXECUTE:
        full = replace_record(full, payload=_executor_payload(batch, phase, full.gates, rules))
        if run.backend not in BACKENDS_WITHOUT_MODEL:
            full = replace_record(full, plan=_place_in_plan(batch, phase, prp_of(batch, phase, attempt.launched_at).path))
    if task.resolution:
        return replace_record(full, steps=(), payload={**full.payload, "start": task.resolution})
    if run.operation == Operation.GENERATE:
        document = document or prp_of(batch, phase, attempt.launched_at)
        return replace_record(full, payload={"path": document.path, "text": render_prp(document)})
    if run.operation == Operation.REVIEW:
        return replace_record(full, payload=_review_payload(run, phase, attempt))
    if run.operation == Operation.UPDATE_CONTEXT:
        path = prp_of(batch, phase, attempt.launched_at).path
        front = front_matter(record_of(phase, done_of(phase))) | dict(issue_front_matter(phase))
        return replace_record(full, payload={"path": path, "front": front})
    return full


def _context_file(attempt: Attempt, stage: int) -> str:
    """Where the stage's shared context is: beside the run's attempts of this host."""
    return str(Path(attempt.directory).parent.parent / f"context-stage-{stage}.md")


def _options(run: Run) -> dict[str, object]:
    """Options for the run's backend; never a key."""
    if run.backend == "command":
        project = run.batch.project
        resume = {"resume_command": shlex.split(project.agent_resume)} if project.agent_resume.strip() else {}
        return {"command": shlex.split(project.agent_command), **resume}
    if run.backend != "claude":
        return {}
    return claude_options(run.batch.project) | (tool_options(run.batch.project) if run.operation == Operation.EXECUTE else {})


def claude_options(project: Project) -> dict[str, object]:
    """What the backend claude is told besides its task: the API's address, and what the project says of its models."""
    chosen = {"effort": project.effort, "fallback_model": project.fallback_model}
    return {"base_url": settings.CE_API_BASE_URL, **{name: value for name, value in chosen.items() if value}}


def tool_options(project: Project) -> dict[str, object]:
    """What the executor may use, as a spec has it: names of secrets, never values. {} if the project says nothing."""
    tools = ToolPolicy(
        servers=tuple(read_servers(project.mcp_servers)),
        allowed=tuple(_lines(project.allowed_tools)),
        denied=tuple(_lines(project.denied_tools)),
        skills=project.skills,
        subagents=project.subagents,
        web_search=project.web_search,
        web_fetch=project.web_fetch,
    )
    private = [str(network) for network in settings.CE_PRIVATE_NETWORKS] if any(server.url for server in tools.servers) else []
    found = {"tools": tools.to_json(), "private_networks": private}
    return {name: value for name, value in found.items() if value}


def instructions_of(project: Project, role: Role) -> str:
    """What the project's settings add to the prompt of a role; "" for one without such a setting."""
    return str(getattr(project, f"instructions_{role}", ""))


def environment_of(project: Project) -> dict[str, object]:
    """The project's environment as a task spec has it (subagents/built_environment.py); {} when it needs none."""
    variables = (line.partition("=") for line in _lines(project.environment_variables))
    found: dict[str, object] = {
        "setup": project.setup_command.replace("\r", "").strip(),
        "bring_along": _lines(project.bring_along),
        "path": _lines(project.environment_path),
        "variables": {name.strip(): value.strip() for name, _, value in variables},
    }
    if not any(found.values()):
        return {}
    folder = str(Path(settings.CE_DATA_DIR) / "environments" / project.slug)
    # Not the values: only when they changed, so that an environment is built again with the new ones.
    found["secrets"] = {name: at.isoformat() for name, at in project.secrets.filter(setup=True).values_list("name", "changed_at")}
    return found | {"folder": folder, "inputs": _lines(project.setup_inputs), "network": project.setup_network}


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if line.strip()]


def policy_of(project: Project) -> dict[str, object]:
    """What commands of an attempt may access outside its checkout, and their resource limits."""
    hosts = _lines(project.allowed_hosts)
    narrowed = {"hosts": hosts, "private": [str(network) for network in settings.CE_PRIVATE_NETWORKS]} if hosts else {}
    return {
        "network": project.network,
        **narrowed,
        "paths": _lines(project.tool_paths),
        "memory_bytes": settings.CE_COMMAND_MEMORY_BYTES,
        "address_bytes": settings.CE_COMMAND_ADDRESS_BYTES,
        "file_bytes": settings.CE_COMMAND_FILE_BYTES,
        "processes": settings.CE_COMMAND_PROCESSES,
    }


def _review_payload(run: Run, phase: Phase, attempt: Attempt) -> dict[str, object]:
    """What the rules found in this PRP (before execution) or in its outcome (after)."""
    facts = facts_of(phase)
    after = run.review.moment == ReviewTiming.AFTER
    done = done_of(phase)
    findings = capped(review_outcome(facts, done.outcome) if after else review_prp(facts))
    changed = list(record_of(phase, done).files) if after else []
    path = prp_of(run.batch, phase, attempt.launched_at).path
    unverified = [{"position": gate.position, "text": gate.text} for gate in phase.gates.all() if gate.kind == GateKind.UNVERIFIED]
    payload: dict[str, object] = {
        "moment": str(run.review.moment),
        "path": path,
        "findings": [finding.to_json() for finding in findings],
        "changed": changed,
        "unverified": unverified,
    }
    if after and done.attempt is not None and run.backend not in BACKENDS_WITHOUT_MODEL:
        payload |= {"work": {"base": done.attempt.base_commit, "head": done.attempt.head_commit}, "gates": _gate_results(done.attempt)}
    return payload


def _gate_results(attempt: Attempt) -> list[dict[str, str]]:
    """What the attempt's gates said, for a prompt: the status, the gate's text, and how it was judged or why not."""
    found = []
    for check in attempt.gate_checks.select_related("gate").order_by("origin", "position", "pk"):
        how = f"`{check.command}` ended with exit code {check.exit_code}" if check.exit_code is not None else check.note
        found.append({"status": str(check.status), "text": check.gate.text if check.gate else check.text, "how": how})
    return found


def _gates_of(phase: Phase, rules: GateRules) -> tuple[GateSpec, ...]:
    """The phase's own gates, then project gates and standard gates."""
    own = tuple(GateSpec.from_json(gate.spec) for gate in GATES.rows(phase=phase.pk))
    return (*own, *rules.of_phase(phase.files, has_steps=bool(phase.steps)))


@dataclass(frozen=True, slots=True)
class PlannedPhase:
    """What other phases are told of a phase: its title, what it depends on, its gates that read judges' files, its declared files."""

    pk: int
    key: str
    title: str
    needs: list[str]
    gates: list[dict[str, object]]
    files: list[str]


@lru_cache(maxsize=64)
def planned_phases(batch_id: int, created_at: datetime, edition: int) -> tuple[PlannedPhase, ...]:
    """The phases of a batch, cached by edition. A restored database may give its number to another batch."""
    phases = Phase.objects.filter(batch=batch_id).order_by("position").prefetch_related("gates")
    return tuple(
        PlannedPhase(
            pk=one.pk,
            key=one.key,
            title=one.title,
            needs=list(one.dependencies),
            gates=[gate.spec for gate in one.gates.all() if gate.kind in JUDGED_BY_FILES],
            files=list(one.files),
        )
        for one in phases
    )


MERGED: Prepared[tuple[str, int]] = Prepared(
    lambda batch: (
        Attempt.objects.filter(task__phase__batch=batch, task__run__operation=Operation.EXECUTE)
        .exclude(merge_commit="")
        .order_by("pk")
        .values_list("task__phase__key", "pk")
    )
)
ACCEPTED: Prepared[int] = Prepared(
    lambda batch: SignOff.objects.filter(attempt__task__phase__batch=batch, gate=None, withdrawn_at=None).values_list("attempt", flat=True)
)


def _executor_payload(batch: Batch, phase: Phase, gates: Sequence[GateSpec], rules: GateRules) -> dict[str, object]:
    """The batch's other phases with gates that read judges' files: what this phase changes of those is named.

    All of them where this phase has such gates itself: what an earlier one changed of their judges is named, too.
    """
    mine = any(gate.kind in JUDGED_BY_FILES for gate in gates)
    told = [one for one in planned_phases(batch.pk, batch.created_at, batch.edition) if one.pk != phase.pk and (mine or one.gates)]
    merged = dict(MERGED.rows(batch=batch.pk)) if told else {}
    accepted = set(ACCEPTED.rows(batch=batch.pk)) if merged else set()
    others: list[dict[str, object]] = [
        {
            "key": one.key,
            "gates": one.gates,
            "files_modified": one.files,
            "merged": one.key in merged,
            "accepted": merged.get(one.key) in accepted,
        }
        for one in told
    ]
    of_phases = rules.of_phase((), has_steps=False)
    if whole := [gate.to_json() for gate in rules.of_stage() if gate.origin == GateOrigin.PROJECT and gate not in of_phases]:
        others.append({"key": "", "gates": whole, "files_modified": []})
    return {"others": others} if others else {}


def _place_in_plan(batch: Batch, phase: Phase, prp: str) -> dict[str, object]:
    """What the agent is told of the plan around its phase: other titles, and what came of what it depends on."""
    phases = planned_phases(batch.pk, batch.created_at, batch.edition)
    others = [one for one in phases if one.pk != phase.pk]
    near = [one for one in others if one.key in phase.dependencies or phase.key in one.needs]
    shown = {one.pk for one in (*near, *others)[:TITLES]} if len(others) > TITLES else {one.pk for one in others}
    relation = {one.pk: "needs" if one.key in phase.dependencies else "needed_by" for one in near}
    needed = [one for one in others if one.key in phase.dependencies]
    merged = dict(MERGED.rows(batch=batch.pk)) if needed else {}
    rows = Result.objects.filter(attempt__in=[merged[one.key] for one in needed if one.key in merged]).values_list(
        "attempt_id", "commits", "files_created", "files_modified", "files_deleted", "data__report__summary"
    )
    results = {pk: (commits, sorted({*made, *changed, *gone}), summary or "") for pk, commits, made, changed, gone, summary in rows}
    needs = []
    for one in needed:
        commits, files, summary = results.get(merged.get(one.key, 0), ([], [], ""))
        short = [commit[:12] for commit in commits]
        needs.append({"key": one.key, "title": one.title, "summary": summary, "commits": short, "files": files})
    return {
        "title": batch.title,
        "prp": prp,
        "phases": [{"key": one.key, "title": one.title, "relation": relation.get(one.pk, "")} for one in others if one.pk in shown],
        "more": len(others) - len(shown),
        "needs": needs,
    }


def _stage_payload(run: Run, task: Task, rules: GateRules) -> dict[str, object]:
    """What a stage check judges: the gates of its merged phases again, and those of the stage over all changes."""
    changed = Result.objects.filter(attempt__in=task.covers).values_list("files_created", "files_modified")
    return {
        "phases": _covered_phases(task),
        "gates": [gate.to_json() for gate in rules.of_stage()],
        "changed": sorted({path for created, modified in changed for path in (*created, *modified)}),
        "earlier": _merged_before(run, task),
    }


def _merged_before(run: Run, task: Task) -> list[dict[str, object]]:
    """The phases with gates that earlier checks covered, once all others of the run have ended: the last check of a run judges them
    again. A check after each stage would judge the gates of a chain of phases as often as it is long.
    """
    if run.tasks.filter(kind=TaskKind.PHASE).exclude(state__in=ENDED_TASK_STATES).exists():
        return []
    covered = set(Attempt.objects.filter(pk__in=task.covers).values_list("task__phase", flat=True))
    merged = dict(MERGED.rows(batch=run.batch_id))
    told = [one for one in planned_phases(run.batch_id, run.batch.created_at, run.batch.edition) if one.pk not in covered and one.gates]
    return [{"key": one.key, "gates": one.gates, "files_modified": one.files} for one in told if one.key in merged]


def _covered_phases(task: Task) -> list[dict[str, object]]:
    phases = Phase.objects.filter(tasks__attempts__in=task.covers).prefetch_related("gates").distinct()
    return [{"key": phase.key, "gates": [gate.spec for gate in phase.gates.all()], "files_modified": list(phase.files)} for phase in phases]
