"""What the answers hold, and what the bodies of requests may hold."""

from typing import Annotated, Any, Literal

from ninja import Path
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from batches.core.engine.states import Operation
from batches.core.gates.success import Success
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

# Parameters in addresses.
Number = Annotated[int, Path(ge=1, le=LARGEST_NUMBER, description="The number of a batch.", examples=[44])]
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
    output: Annotated[str, Field(description="Its last lines.", examples=["1 failed, 8 passed"])]


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


View = Literal["all", "running", "failed", "done", "ready", "cancelled"]
