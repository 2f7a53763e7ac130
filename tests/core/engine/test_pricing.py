"""Which phase gets which model, and what a request costs."""

from decimal import Decimal

import pytest

from batches.core.engine.budget import reservation
from batches.core.engine.pricing import MODELS, NO_MODEL, ModelChoice, check_model, choose_model, model_of_attempt
from batches.core.errors import WrongChoice

D = Decimal


@pytest.mark.parametrize(
    ("complexity", "model", "retry_model"),
    [("low", "haiku", "haiku"), ("medium", "haiku", "sonnet"), ("high", "sonnet", "sonnet"), ("", "haiku", "sonnet")],
)
def test_the_model_goes_by_complexity(complexity: str, model: str, retry_model: str):
    assert choose_model("claude", complexity) == ModelChoice(model, retry_model)


def test_the_runs_choice_goes_before_complexity_and_the_phases_before_the_runs():
    assert choose_model("claude", "low", of_run="opus") == ModelChoice("opus", "opus")
    assert choose_model("claude", "low", of_run="opus", of_phase="sonnet") == ModelChoice("sonnet", "sonnet")
    assert choose_model("claude", "high", of_retries="opus") == ModelChoice("sonnet", "opus")
    assert choose_model("claude", "low", of_phase="sonnet", of_retries="opus") == ModelChoice("sonnet", "opus")


def test_steps_uses_no_model_whatever_is_chosen():
    assert choose_model("steps", "high", of_run="opus") == NO_MODEL
    assert str(NO_MODEL) == "no model"


@pytest.mark.parametrize(
    ("failures", "model"),
    [
        ([], "haiku"),
        ([("gate_failed", "")], "sonnet"),
        ([("agent_error", "")], "sonnet"),
        ([("agent_error", "transient")], "haiku"),
        ([("crashed", ""), ("timeout", ""), ("merge_conflict", ""), ("budget", "")], "haiku"),
        ([("crashed", ""), ("phase_time_limit", "")], "sonnet"),
    ],
)
def test_the_retry_model_is_for_failures_of_the_work_only(failures, model: str):
    assert model_of_attempt(ModelChoice("haiku", "sonnet"), failures) == model


def test_an_unknown_model_is_refused_with_the_list():
    assert check_model(" Haiku ") == "haiku"
    assert check_model("claude-sonnet-4-5") == "claude-sonnet-4-5" and check_model(" vendor/Model.1 ") == "vendor/Model.1", "exact ids"
    with pytest.raises(WrongChoice, match=r"Unknown model 'gpt'. Choose one of: haiku, sonnet, opus"):
        check_model("gpt")


def test_a_request_costs_its_tokens_and_a_long_prompt_costs_haiku_five_times_as_much():
    assert MODELS["sonnet"].cost(1_000_000, 100_000, 10_000, 2_000_000) == D("2") + D("1") + D("0.025") + D("0.20")
    assert MODELS["haiku"].cost(100_000, 0) == D("0.01")
    assert MODELS["haiku"].cost(100_001, 0) == D("0.0500005")
    assert MODELS["haiku"].cost(1, 1_000, 50_000, 50_000) == 5 * (D("0.0000001") + D("0.0005") + D("0.00625") + D("0.0005"))
    assert MODELS["opus"].cost(1_000_000, 0) == D("4")


def test_a_phase_reserves_its_cap_else_what_history_says_else_a_share_of_the_budget():
    known = {"limit_usd": D("8"), "max_parallel": 4}
    history = [D(n) for n in range(1, 11)]
    assert reservation(cap_usd=D("0.5"), history_usd=history, **known) == D("0.5")
    assert reservation(cap_usd=None, history_usd=history, **known) == D("9.1")
    assert reservation(cap_usd=None, history_usd=[D("0.0001")], **known) == D("0.01")
    assert reservation(cap_usd=None, history_usd=[], **known) == D("2")
    assert reservation(cap_usd=None, history_usd=history, limit_usd=None, max_parallel=4) is None
