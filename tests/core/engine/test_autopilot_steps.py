"""What follows what: the order of a chain, and where a batch that stands somewhere begins."""

import pytest

from batches.core.engine.autopilot_steps import AutopilotStep, OperationsDone, first_step, step_after, steps_of


def walk(**how: bool) -> list[AutopilotStep]:
    at: AutopilotStep | None = AutopilotStep.GENERATE
    seen = []
    while at is not None:
        seen.append(at)
        at = step_after(at, **how)
    return seen


@pytest.mark.parametrize("required", [True, False])
def test_an_autopilot_goes_through_every_step_whatever_the_project_requires(required: bool):
    assert walk(whole=True, review_required=required) == list(AutopilotStep)


def test_a_plan_that_is_executed_is_reviewed_first_only_where_the_project_requires_it():
    assert walk(whole=False, review_required=False) == [AutopilotStep.GENERATE, AutopilotStep.EXECUTE]
    assert walk(whole=False, review_required=True) == [AutopilotStep.GENERATE, AutopilotStep.REVIEW_BEFORE, AutopilotStep.EXECUTE]


def test_a_requirement_that_was_taken_back_during_the_review_still_leads_on_to_the_execution():
    assert step_after(AutopilotStep.REVIEW_BEFORE, whole=False, review_required=False) is AutopilotStep.EXECUTE
    assert AutopilotStep.REVIEW_BEFORE not in steps_of(whole=False, review_required=False)


@pytest.mark.parametrize(
    ("standing", "step"),
    [
        (OperationsDone(), AutopilotStep.GENERATE),
        (OperationsDone(generated=True), AutopilotStep.REVIEW_BEFORE),
        (OperationsDone(generated=True, review_before_passes=True), AutopilotStep.EXECUTE),
        (OperationsDone(generated=True, executed=True), AutopilotStep.REVIEW_AFTER),
        (OperationsDone(generated=True, review_before_passes=True, executed=True), AutopilotStep.REVIEW_AFTER),
        (OperationsDone(generated=True, executed=True, review_after_passes=True), AutopilotStep.UPDATE_CONTEXT),
    ],
)
def test_nothing_that_is_done_and_approved_is_repeated(standing: OperationsDone, step: AutopilotStep):
    assert first_step(standing) is step
