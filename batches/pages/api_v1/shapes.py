"""What the answers hold, and what the bodies of requests may hold."""

from typing import Annotated, Any, Literal

from ninja import Path, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from batches.core.engine.states import Operation
from batches.core.gates.success import Success
from batches.core.review.types import ReviewTiming
from batches.pages.api_v1.pages import Next
from batches.pages.common import LARGEST_NUMBER

# Words that many shapes share.
BatchNumber = Annotated[int, Field(description="The number of a batch.", examples=[44])]
RunNumber = Annotated[int, Field(description="The number of a run within its batch.", examples=[1])]
PhaseKey = Annotated[str, Field(description="The key of a phase within its batch.", examples=["2a"])]
Slug = Annotated[str, Field(description="The slug of a project.", examples=["shop"])]
Title = Annotated[str, Field(examples=["Export as JSON"])]
Url = Annotated[str, Field(description="The page for people.", examples=["https://ce.example.org/batches/44/"])]
Moment = Annotated[AwareDatetime | None, Field(examples=["2026-11-28T09:30:00Z"])]
Seconds = Annotated[float | None, Field(examples=[12.5])]
Dollars = Annotated[float | None, Field(description="US dollars; null if unknown.", examples=[0.42])]
Money = Annotated[str | None, Field(description="US dollars as text, exactly; null if unknown.", examples=["0.42"])]
Tokens = Annotated[int | None, Field(description="Null if unknown.", examples=[18000])]

EntryKind = Literal["message", "thinking", "tool call", "result", "edit", "note", "error"]  # those of subagents/contract.py

# Parameters in addresses.
Number = Annotated[int, Path(ge=1, le=LARGEST_NUMBER, description="The number of a batch.", examples=[44])]
OfProject = Annotated[str, Query(max_length=80, description="The slug of a project; empty: all, or none.", examples=["shop"])]
Key = Annotated[str, Path(max_length=40, description="The key of a phase.", examples=["2a"])]


class Shape(BaseModel):
    """What an answer holds."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Body(BaseModel):
    """What a request may hold: nothing but these members, of exactly these types."""

    model_config = ConfigDict(strict=True, extra="forbid", use_attribute_docstrings=True)


class ProjectShape(Shape):
    slug: Slug
    name: Annotated[str, Field(examples=["Shop"])]
    base_branch: Annotated[str, Field(examples=["main"])]
    backend: Annotated[str, Field(examples=["claude"])]


class Projects(Shape):
    items: list[ProjectShape]
    next: Next


class SettingsBody(Body):
    settings: Annotated[
        dict[str, str | int | float | bool | list[str] | None],
        Field(description="What changes, by name; all or nothing.", examples=[{"max_parallel": 2}]),
    ]


class SettingsShape(Shape):
    project: Slug
    settings: Annotated[
        dict[str, Any],
        Field(description="Every setting that is no secret. Dollars are text.", examples=[{"max_parallel": 4, "members_only": False}]),
    ]


class MemberBody(Body):
    user: Annotated[str | None, Field(description="A person's name; or `team`.", examples=["ada"])] = None
    team: Annotated[str | None, Field(examples=[None])] = None
    role: Annotated[Literal["viewer", "author", "executor", "maintainer", "admin"], Field(examples=["executor"])]


class MemberShape(Shape):
    member: Annotated[int, Field(description="The id of the membership.", examples=[5])]
    user: Annotated[str | None, Field(description="A person's name, or null for a team.", examples=["ada"])]
    team: Annotated[str | None, Field(examples=[None])]
    role: Annotated[str, Field(examples=["executor"])]


class Members(Shape):
    items: list[MemberShape]
    next: Next


DryRun = Annotated[Literal["", "1"], Query(description="1: only tell what would happen.", examples=["1"])]
Sentences = list[Annotated[str, Field(examples=["The branch ce/batch-44; main has all its commits."])]]


class DeletionShape(Shape):
    """What went, or what a deletion would do."""

    name: Annotated[str, Field(examples=["batch 44, Export as JSON"])]
    deleted: Annotated[bool, Field(description="Whether it was deleted; false when it was only asked about.")]
    goes: Sentences
    stays: Sentences
    refusals: Annotated[Sentences, Field(description="Why it would be refused.")]


class ArchiveShape(Shape):
    """Whether lists hide it, and nothing starts in it."""

    name: Annotated[str, Field(examples=["batch 44"])]
    archived: bool
    archived_at: Moment = None


class BatchRowShape(Shape):
    batch_id: BatchNumber
    title: Title
    project: Slug
    state: Annotated[str, Field(description="planned, paused, or the state of the newest run.", examples=["running"])]
    not_verified: Annotated[str, Field(description="Of an execution that succeeded: what is not green, in words.", examples=[""])]
    detail: Annotated[str, Field(description="What else a person should know, in words.", examples=["preparing"])]
    phases_done: Annotated[int, Field(examples=[3])]
    phases: Annotated[int, Field(examples=[4])]
    tokens_used: Tokens
    cost_usd: Dollars
    unpriced: Annotated[int, Field(description="Ended attempts whose cost nobody knows.", examples=[0])]
    started_at: Moment
    elapsed_seconds: Seconds
    waited_for_person_seconds: Seconds
    seconds_left: Seconds
    url: Url


class Batches(Shape):
    count: Annotated[int, Field(description="How many there are in all parts.", examples=[1])]
    items: list[BatchRowShape]
    next: Next


class Preparation(Shape):
    written: Annotated[int, Field(description="How many work orders are written.", examples=[3])]
    of: Annotated[int, Field(examples=[4])]
    words: Annotated[str, Field(examples=["Writing work orders 3/4"])]


class MergedGates(Shape):
    status: Annotated[str, Field(examples=["succeeded"])]
    message: Annotated[str, Field(examples=[""])]


class StageResult(Shape):
    stage: Annotated[int, Field(examples=[1])]
    status: Annotated[str, Field(description="success, failed, partial, or the state that all its phases share.", examples=["success"])]
    phases: Annotated[list[str], Field(examples=[["1", "2a"]])]
    merged_gates: MergedGates | None


class GateCounts(Shape):
    passed: Annotated[int, Field(examples=[3])]
    failed: Annotated[int, Field(examples=[0])]
    unverified: Annotated[int, Field(examples=[1])]
    flaky: Annotated[int, Field(examples=[0])]


class FailedGate(Shape):
    text: Annotated[str, Field(examples=["All tests pass"])]
    command: Annotated[str, Field(examples=["pytest -q"])]
    exit_code: Annotated[int | None, Field(examples=[1])]
    output: Annotated[str, Field(description="Its last lines, after those that say what failed.", examples=["1 failed, 8 passed"])]


class Question(Shape):
    text: Annotated[str, Field(examples=["Which name should the column have?"])]
    answers: Annotated[list[str], Field(description="Suggested answers.", examples=[["exported_at", "created_at"]])]
    asked_at: Annotated[str, Field(examples=["2026-11-28T09:30:00+00:00"])]


class PhaseResult(Shape):
    phase: PhaseKey
    prp_id: Annotated[str, Field(examples=["PRP-44.2.1"])]
    title: Title
    stage: Annotated[int, Field(examples=[2])]
    status: Annotated[str, Field(description="success, not run, or the state of its task.", examples=["success"])]
    success: Annotated[Success | None, Field(description="What is behind a success.", examples=["verified"])]
    accepted_by: Annotated[str, Field(examples=[""])]
    looks: Annotated[list[str], Field(description="What a person should look at.", examples=[[]])]
    reason: Annotated[str, Field(description="Why it failed, one of a closed list.", examples=["gate_failed"])]
    message: Annotated[str, Field(examples=[""])]
    attempts: Annotated[int, Field(examples=[1])]
    started_at: Moment
    ended_at: Moment
    elapsed_seconds: Seconds
    tokens_used: Tokens
    cost_usd: Dollars
    validation_gates: GateCounts
    project_gates: GateCounts
    standard_gates: GateCounts
    failed_gates: list[FailedGate]
    files_created: Annotated[list[str], Field(examples=[["shop/export.py"]])]
    files_modified: Annotated[list[str], Field(examples=[["shop/cli.py"]])]
    files_deleted: Annotated[list[str], Field(examples=[[]])]
    undeclared: Annotated[list[str], Field(description="Changed files that the plan does not name.", examples=[[]])]
    merge_commit: Annotated[str, Field(examples=["3f2c1d7a9b3f2c1d7a9b3f2c1d7a9b3f2c1d7a9b"])]
    activity: Annotated[str | None, Field(description="What its agent does now.", examples=["Running the tests"])]
    activity_since: Moment
    question: Annotated[Question | None, Field(description="What its agent asks a person now.")]
    repair: Annotated[str, Field(description="Which round of repair it is.", examples=["Repair 1 of 2 after gate 3"])]
    history: Annotated[
        list[str],
        Field(
            description="What happened in several attempts and with questions, a sentence each.",
            examples=[["03:12:09 attempt 1: put off: the API cannot be reached"]],
        ),
    ]


class ConflictShape(Shape):
    file: Annotated[str, Field(examples=["shop/cli.py"])]
    phases: Annotated[list[str], Field(examples=[["2a", "2b"]])]
    kind: Annotated[str, Field(examples=["edit"])]
    collided: bool | None


class BatchStatus(Shape):
    batch_id: BatchNumber
    title: Title
    operation: Operation
    run: RunNumber
    status: Annotated[
        str,
        Field(
            description="success, failed, cancelled, queued or running; before the first execution preparing, prepared, stopped or failed.",
            examples=["success"],
        ),
    ]
    not_verified: Annotated[str, Field(examples=[""])]
    accepted: Annotated[str, Field(examples=[""])]
    branch: Annotated[str, Field(examples=["ce/batch-44"])]
    base_branch: Annotated[str, Field(examples=["main"])]
    base_commit: Annotated[str, Field(examples=["9b3f2c1d7a9b3f2c1d7a9b3f2c1d7a9b3f2c1d7a"])]
    started_at: Moment
    ended_at: Moment
    elapsed_seconds: Seconds
    waited: Annotated[dict[str, float], Field(description="Seconds for each reason.", examples=[{"person": 12.0}])]
    tokens_used: Tokens
    cost_usd: Dollars
    unpriced: Annotated[int, Field(examples=[0])]
    gates: Annotated[dict[str, int] | None, Field(description="How many gates stand where.", examples=[{"passed": 12}])] = None
    preparation: Preparation | None = None
    stages: list[StageResult]
    results: list[PhaseResult]
    conflicts: list[ConflictShape]
    text: Annotated[str | None, Field(description="What the command prints, with ?text=1.", examples=[None])] = None


class Figures(Shape):
    """The data of the page Metrics; docs/metrics.md says what each figure means."""

    model_config = ConfigDict(extra="allow")
    filters: Annotated[dict[str, Any], Field(examples=[{"period": "30d", "operation": "execute"}])]


View = Literal["all", "running", "failed", "done", "ready", "cancelled", "archived"]


class Begun(Shape):
    """What was asked for has begun; the batch's own address tells how far it is."""

    batch_id: BatchNumber
    run: RunNumber
    operation: Operation
    state: Annotated[str, Field(description="The state of the run.", examples=["queued"])]
    url: Url


class Retried(Begun):
    phases: Annotated[list[str], Field(description="What is carried out once more.", examples=[["2a", "3"]])]


class Steered(Begun):
    phase: PhaseKey


class Told(Steered):
    told: Annotated[bool, Field(description="True: at its next turn; false: the next attempt.", examples=[True])]


# Plans


class PlanIssue(Shape):
    line: Annotated[int | None, Field(examples=[12])]
    code: Annotated[str, Field(examples=["missing_goal"])]
    field: Annotated[str | None, Field(examples=["goal"])]
    phase: Annotated[str | None, Field(examples=["2a"])]
    message: Annotated[str, Field(examples=["Phase 2a has no goal."])]


class PlanFinding(Shape):
    line: Annotated[int | None, Field(examples=[12])]
    severity: Annotated[str, Field(examples=["minor"])]
    phase: Annotated[str | None, Field(examples=["2a"])]
    message: Annotated[str, Field(examples=["No gate of the phase runs anything."])]
    suggestion: Annotated[str, Field(examples=["Name a command."])]


class PlanReview(Shape):
    needs_work: bool
    findings: list[PlanFinding]
    left_out: Annotated[int, Field(description="How many more there are.", examples=[0])]
    new_files: Annotated[list[str], Field(examples=[["shop/export.py"]])]
    problem: Annotated[str | None, Field(description="Why the files were not compared.", examples=[None])]


class PlanConflict(Shape):
    """A file that several phases change."""

    file: Annotated[str, Field(examples=["shop/export.py"])]
    phases: Annotated[list[str], Field(examples=[["2a", "2b"]])]
    kind: Annotated[str, Field(description="same_stage, cross_stage, or ordered: no conflict.", examples=["same_stage"])]


class Validation(Shape):
    valid: bool
    errors: list[PlanIssue]
    warnings: list[PlanIssue]
    conflicts: list[PlanConflict]
    review: PlanReview | None = None


class SavedPlan(Shape):
    plan: Annotated[int, Field(description="The id of a saved plan.", examples=[7])]
    title: Title
    version: Annotated[int, Field(examples=[1])]
    project: Annotated[str | None, Field(examples=["shop"])]
    url: Url
    valid: bool
    errors: list[PlanIssue]
    warnings: list[PlanIssue]
    conflicts: list[PlanConflict]
    review: PlanReview


class PlanWhole(SavedPlan):
    text: Annotated[str, Field(examples=["# Export as JSON"])]


class PlanRow(Shape):
    plan: Annotated[int, Field(examples=[7])]
    title: Title
    version: Annotated[int, Field(examples=[1])]
    project: Annotated[str | None, Field(examples=["shop"])]
    file_name: Annotated[str, Field(examples=["plan.md"])]
    valid: bool
    phases: Annotated[int, Field(examples=[4])]
    stages: Annotated[int, Field(examples=[3])]
    created_at: Moment


class Plans(Shape):
    items: list[PlanRow]
    next: Next


class Analysis(Shape):
    """What `manage.py analyze --json` prints."""

    model_config = ConfigDict(extra="allow")
    title: Title
    stages: Annotated[list[list[str]], Field(examples=[[["1"], ["2a", "2b"]]])]
    critical_path: Annotated[list[str], Field(examples=[["1", "2a"]])]
    total_hours: Annotated[float | None, Field(examples=[6.0])]
    longest_chain_hours: Annotated[float | None, Field(examples=[4.0])]
    errors: list[PlanIssue]
    warnings: list[PlanIssue]
    review: PlanReview | None = None


# Ideas


class IdeaShort(Shape):
    idea: Annotated[int, Field(examples=[7])]
    title: Title
    project: Slug
    state: Annotated[
        str,
        Field(description="reading, waiting_for_answers, drafting, revising, translating, drafted or failed.", examples=["drafted"]),
    ]
    problem: Annotated[str | None, Field(examples=[None])]
    created_at: Moment
    url: Url


class Ideas(Shape):
    items: list[IdeaShort]
    next: Next


class IdeaWhole(IdeaShort):
    questions: Annotated[list[dict[str, Any]], Field(examples=[[{"question": "Which format?", "answers": ["JSON", "CSV"]}]])]
    answers: Annotated[list[str] | None, Field(examples=[["JSON"]])]
    doing: Annotated[str | None, Field(examples=["reads shop/cli.py"])]
    paused_until: Moment
    paused_for: Annotated[str | None, Field(examples=[None])]
    cap_usd: Money
    spent_usd: Money
    notes: Annotated[list[Any], Field(description="What of the last draft was repaired, set or flagged.", examples=[[]])]
    account: Annotated[list[dict[str, Any]], Field(description="Of a translation: what became of each line.", examples=[[]])]
    plan: SavedPlan | None


class NewIdea(Body):
    project: Slug
    text: Annotated[str, Field(description="What you want.", examples=["Export the data as JSON"])] = ""
    document: Annotated[str, Field(description="A document to translate.", examples=[""])] = ""
    source: Annotated[str, Field(description="The document's name.", examples=[""])] = ""
    issue: Annotated[str, Field(description="A link to a Linear issue.", examples=[""])] = ""
    files: Annotated[list[str], Field(description="Files to look at.", examples=[["shop/cli.py"]])] = []
    translate: bool = False
    cap_usd: Annotated[float | None, Field(description="The most that it may cost.", gt=0, examples=[5])] = None


class AnswerIdea(Body):
    answers: Annotated[list[str], Field(description='"" takes the suggested one.', examples=[["JSON", ""]])] = []


class Revise(Body):
    remark: Annotated[str, Field(description="What is to be changed.", examples=["Split the second phase"])]


class Again(Body):
    cap_usd: Annotated[float | None, Field(gt=0, examples=[5])] = None


# Batches: what is asked for


class NewBatch(Body):
    plan: Annotated[int, Field(description="The id of a saved plan.", examples=[7])]
    project: Annotated[str | None, Field(description="A slug; else the plan's project.", examples=["shop"])] = None
    execute: Annotated[bool, Field(description="Carry it out too.", examples=[False])] = False
    autopilot: Annotated[bool, Field(description="With reviews and an update of the context.", examples=[False])] = False


class Execute(Body):
    what: Annotated[str, Field(description='"" is all that is left; resume, retry:KEY, stage:N, phase:KEY.', examples=["stage:2"])] = ""
    backend: Annotated[str | None, Field(examples=["steps"])] = None
    max_parallel: Annotated[int | None, Field(ge=1, examples=[2])] = None
    timeout_minutes: Annotated[float | None, Field(gt=0, examples=[60])] = None
    scheduling: Annotated[Literal["stages", "dataflow"] | None, Field(examples=["stages"])] = None
    on_conflict: Annotated[Literal["warn", "serialize", "abort"] | None, Field(examples=["warn"])] = None
    fail_fast: Annotated[bool | None, Field(examples=[False])] = None
    model: Annotated[str | None, Field(examples=["haiku"])] = None
    retry_model: Annotated[str | None, Field(examples=["sonnet"])] = None
    repairs: Annotated[int | None, Field(ge=0, examples=[2])] = None
    models: Annotated[dict[str, str], Field(description="{phase key: model}", examples=[{"2a": "sonnet"}])] = {}
    budget_usd: Annotated[float | None, Field(gt=0, examples=[5])] = None
    phase_cap_usd: Annotated[float | None, Field(gt=0, examples=[1])] = None
    host: Annotated[str | None, Field(description="Of those that the project may use; else the least busy.", examples=[None])] = None


class Preview(Shape):
    """What an execution would do."""

    batch_id: BatchNumber
    lines: Annotated[list[str], Field(description="For people.", examples=[["Stage 1: PRP-44.1.1 Phase 1", "Forecast: no data yet"]])]
    phases: Annotated[list[str], Field(description="Keys of the phases that would run.", examples=[["1", "2a"]])]


class Retry(Body):
    phases: Annotated[list[str], Field(description="Keys; none: all that failed.", examples=[["2a"]])] = []
    remark: Annotated[str, Field(description="What the agents of the named phases are told first.", examples=[""])] = ""
    keep_session: Annotated[bool, Field(description="In their session, where it can be continued.", examples=[False])] = False


class ReviewBody(Body):
    moment: Annotated[
        Literal["before", "after"] | None, Field(description="The PRPs, or the code; else what fits the batch.", examples=["after"])
    ] = None


class MergeBody(Body):
    method: Annotated[Literal["ff", "no_ff"], Field(examples=["ff"])] = "ff"
    base: Annotated[str | None, Field(description="That of the preview; with `tip`, or neither.", examples=[None])] = None
    tip: Annotated[str | None, Field(description="That of the preview.", examples=[None])] = None


class AskForPullRequest(Body):
    replace: Annotated[bool, Field(description="Let the push replace what was pushed before.", examples=[False])] = False


class GiveRemarks(Body):
    remarks: Annotated[list[int] | None, Field(description="Ids of open remarks; null: all.", examples=[[3, 4]])] = None


class Say(Body):
    text: Annotated[str, Field(examples=["Keep the old name."])]


class Accept(Body):
    reason: Annotated[str, Field(description="What you looked at.", examples=["Read the diff."])]


# Batches: what is read


class PlanOfBatch(Shape):
    batch_id: BatchNumber
    plan: Annotated[int, Field(examples=[7])]
    file_name: Annotated[str, Field(examples=["plan.md"])]
    version: Annotated[int, Field(examples=[1])]
    text: Annotated[str, Field(examples=["# Export as JSON"])]


class Report(Shape):
    batch_id: BatchNumber
    run: RunNumber | None = None
    operation: Operation | None = None
    reported_at: Moment = None
    report: Annotated[str | None, Field(examples=["Batch completed: 4 of 4 phases done."])]


class RunRow(Shape):
    run: RunNumber
    operation: Operation
    state: Annotated[str, Field(examples=["succeeded"])]
    backend: Annotated[str, Field(examples=["steps"])]
    model: Annotated[str, Field(examples=[""])]
    started_at: Moment
    ended_at: Moment
    seconds: Seconds
    stop_reason: Annotated[str, Field(examples=[""])]
    stop_message: Annotated[str, Field(examples=[""])]


class Runs(Shape):
    items: list[RunRow]
    next: Next


class TaskShape(Shape):
    phase: Annotated[str | None, Field(description="Null for a stage's check.", examples=["2a"])]
    title: Title
    stage: Annotated[int, Field(examples=[2])]
    state: Annotated[str, Field(examples=["succeeded"])]
    attempt: Annotated[int | None, Field(description="The number of the newest attempt.", examples=[1])]
    progress: Annotated[str, Field(examples=["step 2 of 3"])]
    seconds: Seconds
    reason: Annotated[str, Field(examples=[""])]
    message: Annotated[str, Field(examples=[""])]


class RunWhole(Shape):
    batch_id: BatchNumber
    run: RunNumber
    operation: Operation
    state: Annotated[str, Field(examples=["running"])]
    live: bool
    paused: bool
    waits: Annotated[str | None, Field(description="What it waits for, and until when.", examples=[None])]
    seconds: Seconds
    tasks: list[TaskShape]
    reported_at: Moment
    report: Annotated[str | None, Field(examples=[None])]
    passes: Annotated[bool | None, Field(description="Whether work may continue; null until its end.", examples=[True])]


class ChangedFile(Shape):
    path: Annotated[str, Field(examples=["shop/export.py"])]
    what: Annotated[str, Field(description="created, modified, deleted or untouched.", examples=["created"])]
    declared: Annotated[bool, Field(description="Whether the plan names it.", examples=[True])]


class PhaseDiff(Shape):
    phase: PhaseKey
    title: Title
    state: Annotated[str, Field(examples=["succeeded"])]
    attempt: Annotated[int | None, Field(examples=[31])]
    files: list[ChangedFile]
    diff: Annotated[str | None, Field(description="A unified diff; null while there is none.", examples=["--- a/x\n+++ b/x\n"])]


class Diffs(Shape):
    batch_id: BatchNumber
    phases: list[PhaseDiff]


class VerificationShape(Shape):
    batch_id: BatchNumber
    state: Annotated[Literal["none", "running", "agrees", "differs", "failed"], Field(examples=["agrees"])]
    asked_by: Annotated[str | None, Field(examples=["person:ada"])] = None
    asked_at: Moment = None
    ended_at: Moment = None
    stopped_by: str | None = None
    progress: Annotated[str | None, Field(examples=["3 of 12 gates"])] = None
    problem: str | None = None
    document: Annotated[dict[str, Any] | None, Field(description="What `manage.py verify --json` prints.", examples=[None])] = None


class LooksOfPhase(Shape):
    phase: PhaseKey
    looks: Annotated[list[str], Field(examples=[["Changed a file that the plan does not name."]])]


class MergePreview(Shape):
    batch_id: BatchNumber
    branch: Annotated[str, Field(examples=["ce/batch-44"])]
    base_branch: Annotated[str, Field(examples=["main"])]
    base: Annotated[str, Field(description="The commit of the base branch.")]
    tip: Annotated[str, Field(description="The commit of the batch's branch.")]
    commits: Annotated[int, Field(examples=[4])]
    files_created: Annotated[list[str], Field(examples=[["shop/export.py"]])]
    files_modified: Annotated[list[str], Field(examples=[[]])]
    files_deleted: Annotated[list[str], Field(examples=[[]])]
    not_done: Annotated[list[str], Field(description="Phases that are not done.", examples=[[]])]
    needs_look: list[LooksOfPhase]
    refusal: Annotated[str | None, Field(description="Why it would be refused.", examples=[None])]


class Decide(Body):
    accept: Annotated[bool, Field(examples=[True])]
    reason: Annotated[str, Field(description="Why it is rejected.", examples=[""])] = ""


class Proposal(Shape):
    batch_id: BatchNumber
    run: Annotated[int | None, Field(description="Null without a proposal.", examples=[3])]
    decision: Annotated[str | None, Field(description="proposed, accepted, rejected or unchanged.", examples=["proposed"])] = None
    reason: Annotated[str | None, Field(examples=[""])] = None
    files: Annotated[list[str] | None, Field(examples=[["CLAUDE.md"]])] = None
    diff: Annotated[str | None, Field(description="A unified diff.", examples=[""])] = None
    branch: Annotated[str | None, Field(examples=["ce/batch-44"])] = None
    commit: Annotated[str | None, Field(description="Of the merge, once it is accepted.", examples=[None])] = None


class Merged(Shape):
    batch_id: BatchNumber
    base_branch: Annotated[str, Field(examples=["main"])]
    commit: Annotated[str, Field(description="The commit of the base branch now.")]


# Phases


class PhaseGate(Shape):
    gate: Annotated[int, Field(examples=[12])]
    text: Annotated[str, Field(examples=["All tests pass"])]
    kind: Annotated[str, Field(examples=["command"])]
    command: Annotated[str, Field(examples=["pytest -q"])]


class PhaseShape(Shape):
    key: PhaseKey
    title: Title
    goal: Annotated[str, Field(examples=["Write the data as JSON"])]
    stage: Annotated[int, Field(examples=[2])]
    prp_id: Annotated[str, Field(examples=["PRP-44.2.1"])]
    hours: Annotated[float | None, Field(examples=[1.5])]
    complexity: Annotated[str, Field(examples=["low"])]
    files: Annotated[list[str], Field(examples=[["shop/export.py"]])]
    dependencies: Annotated[list[str], Field(examples=[["1"]])]
    steps: Annotated[list[str], Field(examples=[["Write the exporter"]])]
    gates: list[PhaseGate]
    section: Annotated[str, Field(description="Its part of the plan, as the author wrote it.", examples=["### Phase 2a: …"])]


class Phases(Shape):
    items: list[PhaseShape]
    next: Next


class AttemptShape(Shape):
    attempt: Annotated[int, Field(description="The id of an attempt.", examples=[31])]
    number: Annotated[int, Field(description="Its number within its task.", examples=[1])]
    run: RunNumber
    operation: Operation
    outcome: Annotated[str, Field(description="Empty while it goes on.", examples=["succeeded"])]
    reason: Annotated[str, Field(examples=[""])]
    message: Annotated[str, Field(examples=[""])]
    model: Annotated[str, Field(examples=["haiku"])]
    progress: Annotated[str, Field(examples=["step 2 of 3"])]
    repair: Annotated[str, Field(examples=[""])]
    launched_at: Moment
    started_at: Moment
    ended_at: Moment
    seconds: Seconds
    tokens_used: Tokens
    cost_usd: Money
    base_commit: str
    head_commit: str
    merge_commit: str


class Attempts(Shape):
    items: list[AttemptShape]
    next: Next


class LogLineShape(Shape):
    line: Annotated[int, Field(examples=[120])]
    at: Moment
    kind: Annotated[str, Field(examples=["out"])]
    text: Annotated[str, Field(examples=["12 passed"])]


class LogPart(Shape):
    batch_id: BatchNumber
    phase: PhaseKey
    attempt: Annotated[int | None, Field(examples=[31])]
    attempt_number: Annotated[int | None, Field(examples=[1])] = None
    state: Annotated[str | None, Field(examples=["running"])] = None
    lines: list[LogLineShape]
    last: Annotated[int, Field(description="The next `after`.", examples=[120])]
    total: Annotated[int, Field(examples=[120])]
    whole: Annotated[bool | None, Field(description="False: only the end of the log is on this host.", examples=[True])] = None
    ended: Annotated[bool, Field(examples=[False])]


class EntryShape(Shape):
    number: Annotated[int, Field(examples=[17])]
    at: Moment
    kind: EntryKind
    text: str
    tool: str
    input: str
    output: str
    duration: Seconds
    tokens: dict[str, int] | None
    edit: Annotated[str, Field(description="A unified diff.")]
    of: Annotated[int | None, Field(description="The number of a result's tool call.", examples=[16])]


class TranscriptPart(Shape):
    batch_id: BatchNumber
    phase: PhaseKey
    attempt: Annotated[int | None, Field(examples=[31])]
    attempt_number: Annotated[int | None, Field(examples=[1])] = None
    state: Annotated[str | None, Field(examples=["running"])] = None
    entries: list[EntryShape]
    cursor: Annotated[int, Field(description="The next `cursor`.", examples=[17])]
    total: Annotated[int, Field(examples=[17])]
    more: Annotated[bool, Field(description="There is more already.", examples=[False])]
    whole: Annotated[bool | None, Field(description="False: it is not on this host, or there is none.", examples=[True])] = None
    ended: Annotated[bool, Field(description="Nothing more will come.", examples=[False])]


class AskedQuestion(Shape):
    text: Annotated[str, Field(examples=["Which name should the column have?"])]
    answers: Annotated[list[str], Field(description="Suggested answers.", examples=[["exported_at", "created_at"]])]
    asked_at: Moment
    answer: Annotated[str | None, Field(examples=[None])]


class AttemptQuestions(Shape):
    phase: Annotated[str | None, Field(examples=["2a"])]
    attempt: Annotated[int, Field(examples=[31])]
    open: Annotated[str | None, Field(description="The question that waits for an answer.", examples=[None])]
    questions: list[AskedQuestion]


class Questions(Shape):
    items: list[AttemptQuestions]
    next: Next


class AcceptedPhase(Shape):
    batch_id: BatchNumber
    phase: PhaseKey
    accepted: Annotated[str, Field(description="What was accepted.", examples=["needs_look"])]
    accepted_by: Annotated[str, Field(examples=["ada"])]
    accepted_at: Moment


# Gates and findings


class CheckShape(Shape):
    attempt: Annotated[int, Field(examples=[31])]
    status: Annotated[str, Field(examples=["passed"])]
    flaky: bool
    command: Annotated[str, Field(examples=["pytest -q"])]
    exit_code: Annotated[int | None, Field(examples=[0])]
    seconds: Seconds
    commit: str
    note: str
    at: Moment
    output: Annotated[str, Field(examples=["12 passed"])]


class SignedOffBy(Shape):
    by: Annotated[str, Field(examples=["ada"])]
    at: Moment
    reason: Annotated[str, Field(examples=["Read the diff."])]


class GateShape(Shape):
    gate: Annotated[int | None, Field(description="The id of a gate of the plan; null for others.", examples=[12])]
    state: Annotated[Literal["planned", "passed", "flaky", "ticked", "unverified", "failed"], Field(examples=["passed"])]
    origin: Annotated[str, Field(examples=["plan"])]
    stage: Annotated[int, Field(examples=[2])]
    phase: Annotated[str | None, Field(description="Null for what is judged of a stage.", examples=["2a"])]
    text: Annotated[str, Field(examples=["All tests pass"])]
    kind: Annotated[str, Field(examples=["command"])]
    in_phase: CheckShape | None
    at_stage_end: CheckShape | None
    signed_off: SignedOffBy | None


class Gates(Shape):
    batch_id: BatchNumber
    gates: list[GateShape]


class SignedOffGate(SignedOffBy):
    batch_id: BatchNumber
    gate: Annotated[int, Field(examples=[12])]


class FindingShape(Shape):
    phase: Annotated[str | None, Field(examples=["2a"])]
    severity: Annotated[str, Field(examples=["major"])]
    category: Annotated[str, Field(examples=["tests"])]
    place: Annotated[str, Field(examples=["shop/export.py:12"])]
    message: Annotated[str, Field(examples=["No test calls this."])]
    suggestion: Annotated[str, Field(examples=["Add one."])]


class ReviewShape(Shape):
    run: RunNumber
    moment: ReviewTiming
    verdict: Annotated[str | None, Field(description="Null until it has ended.", examples=["approved"])]
    passes: bool
    semantic: str
    overruled_by: Annotated[str | None, Field(examples=[None])]
    overrule_reason: Annotated[str | None, Field(examples=[None])]
    findings: list[FindingShape]


class Reviews(Shape):
    items: list[ReviewShape]
    next: Next


# Pull requests


class PullRequestRemarkShape(Shape):
    id: Annotated[int, Field(examples=[3])]
    kind: Annotated[str, Field(examples=["comment"])]
    author: Annotated[str, Field(examples=["ada"])]
    trusted: Annotated[bool, Field(description="Whether its author may push to the repository.", examples=[True])]
    url: Annotated[str | None, Field(examples=["https://github.com/ada/shop/pull/7#discussion_r1"])]
    path: Annotated[str | None, Field(examples=["shop/export.py"])]
    line: Annotated[int | None, Field(examples=[12])]
    text: Annotated[str, Field(examples=["Close the file."])]
    found_at: Moment


class PullRequestShape(Shape):
    """Without a pull request `status` is null, and what belongs to one is missing."""

    batch_id: BatchNumber
    branch: Annotated[str, Field(examples=["ce/batch-44"])]
    base_branch: Annotated[str, Field(examples=["main"])]
    note: Annotated[str | None, Field(description="What is known of the base branch there.", examples=[None])]
    status: Annotated[str | None, Field(description="wanted, open, merged or closed.", examples=["open"])]
    at_work: Annotated[bool, Field(description="Whether the host is being asked, or soon will be.", examples=[False])] = False
    number: Annotated[int | None, Field(examples=[7])] = None
    url: Annotated[str | None, Field(examples=["https://github.com/ada/shop/pull/7"])] = None
    pushed_commit: Annotated[str | None, Field(examples=[None])] = None
    merge_commit: Annotated[str | None, Field(examples=[None])] = None
    error: Annotated[str | None, Field(examples=[None])] = None
    checks_outcome: Annotated[str | None, Field(examples=["passed"])] = None
    checks: Annotated[list[dict[str, Any]], Field(examples=[[{"name": "test", "outcome": "passed"}]])] = []
    remarks: list[PullRequestRemarkShape] = []
    next_try_at: Moment = None
    looked_at: Moment = None


# Webhooks


class WebhookBody(Body):
    url: Annotated[str, Field(min_length=1, max_length=2000, examples=["https://hooks.example.org/ce"])]
    format: Annotated[Literal["json", "slack"], Field(examples=["json"])] = "json"


class WebhookShape(Shape):
    project: Slug
    set: Annotated[bool, Field(description="Whether there is one; its address is never told.", examples=[True])]
    format: Annotated[str, Field(examples=["json"])]


class Tried(Shape):
    message: Annotated[str, Field(examples=["A test notification was sent by webhook."])]


class NotificationShape(Shape):
    batch_id: BatchNumber
    run: RunNumber
    event: Annotated[str, Field(description="ended or needs_person.", examples=["ended"])]
    channel: Annotated[str, Field(description="webhook or mail.", examples=["webhook"])]
    text: Annotated[str, Field(examples=["Batch 44: Export as JSON has succeeded."])]
    created_at: Moment
    sent_at: Moment
    tries: Annotated[int, Field(examples=[1])]
    error: Annotated[str | None, Field(description="Why the last try failed.", examples=[None])]


class Notifications(Shape):
    items: list[NotificationShape]
    next: Next
