"""A forecast is the plan's own estimates times what finished phases really took; nothing is made up."""

from decimal import Decimal

import pytest

from batches.core.plans.forecast import (
    OWN_RUNS,
    FinishedPhase,
    Ratios,
    Schedule,
    added_hours,
    expected_saving,
    forecast,
    forecast_run,
    ratios_of,
)
from batches.core.plans.graph import analyse, chain_with, serial_edges
from batches.core.plans.types import PhaseSpec


def spec(key: str, hours: float | None = 1.0, complexity: str = "low", needs: tuple[str, ...] = ()) -> PhaseSpec:
    return PhaseSpec(key, key, hours=hours, complexity=complexity, dependencies=needs)


def done(*ratios: float, complexity: str = "low", project: int = 1, cost: str | None = None) -> list[FinishedPhase]:
    return [FinishedPhase(complexity, project, 2.0, 2.0 * ratio, None if cost is None else Decimal(cost)) for ratio in ratios]


def test_without_history_there_is_no_forecast():
    phases = [spec("1")]
    assert forecast(phases, analyse(phases), []) is None


def test_history_of_another_complexity_makes_no_forecast():
    phases = [spec("1", complexity="high")]
    assert forecast(phases, analyse(phases), done(1.0, complexity="low")) is None


def test_hours_are_the_median_and_the_ninth_decile_of_actual_over_estimate():
    phases = [spec("1", 2.0), spec("2", 3.0, needs=("1",)), spec("3", 1.0, needs=("1",))]
    found = forecast(phases, analyse(phases), done(*[number / 10 for number in range(1, 12)]), project=1)
    assert found is not None
    assert found.runs == 11
    assert found.chain_hours == pytest.approx((5 * 0.6, 5 * 1.0))
    assert found.work_hours == pytest.approx((6 * 0.6, 6 * 1.0))


def test_a_projects_own_history_counts_alone_once_there_is_enough_of_it():
    others = done(10.0, 10.0, 10.0, project=2)
    few, enough = others + done(*[1.0] * (OWN_RUNS - 1)), others + done(*[1.0] * OWN_RUNS)
    assert ratios_of(few, 1)["low"].runs == OWN_RUNS + 2
    assert not ratios_of(few, 1)["low"].own_project
    own = ratios_of(enough, 1)["low"]
    assert (own.median, own.runs, own.own_project) == (1.0, OWN_RUNS, True)


def test_phases_without_hours_or_without_history_are_named_as_left_out():
    phases = [spec("1"), spec("2", None), spec("3", complexity="high")]
    found = forecast(phases, analyse(phases), done(2.0))
    assert found is not None
    assert found.left_out == ("2", "3")
    assert found.work_hours == (2.0, 2.0)


def test_an_estimate_of_no_hours_says_nothing_about_the_next():
    assert ratios_of([FinishedPhase("low", 1, 0.0, 3.0)], 1) == {}


def test_cost_is_forecast_only_when_it_is_known_for_every_complexity():
    phases = [spec("1", 2.0), spec("2", 1.0, "high")]
    paid = done(1.0, cost="3") + done(1.0, complexity="high")
    assert forecast(phases, analyse(phases), paid).cost_usd is None
    assert forecast(phases[:1], analyse(phases[:1]), paid).cost_usd == (3.0, 3.0)


def test_running_one_after_the_other_lengthens_the_forecast():
    phases = [spec("1", 2.0), spec("2", 3.0)]
    analysis = analyse(phases)
    extra = serial_edges([phase.key for phase in phases], analysis.stage_of, [("1", "2")])
    assert forecast(phases, analysis, done(1.0), extra=extra).chain_hours == (5.0, 5.0)


def test_the_cost_of_one_after_the_other_counts_what_is_serialised_already():
    phases = [spec("1", 2.0), spec("2", 3.0), spec("3", 4.0)]
    analysis = analyse(phases)
    assert added_hours(phases, analysis.stage_of, (), ("1", "2"), Schedule()) == 1.0
    assert added_hours(phases, analysis.stage_of, [("2", "3")], ("1", "2"), Schedule()) == 2.0
    assert added_hours(phases, analysis.stage_of, [("1", "2"), ("2", "3")], ("1", "2"), Schedule()) == 0.0, "of another conflict of theirs"


def test_the_cost_of_one_after_the_other_is_that_of_the_schedule_that_runs():
    # 1 (2 h) and 2 (3 h) collide; 3 (4 h) stands beside them; 4 (1 h) needs 1, and 5 (6 h) needs 3.
    phases = [spec("1", 2.0), spec("2", 3.0), spec("3", 4.0), spec("4", 1.0, needs=("1",)), spec("5", 6.0, needs=("3",))]
    stage_of = analyse(phases).stage_of
    group = ("1", "2")
    assert added_hours(phases, stage_of, (), group, Schedule(4, by_stage=True)) == 1.0  # stage 1 takes 5 h, not 4; stage 2 its 6 h
    assert added_hours(phases, stage_of, (), group, Schedule(4, by_stage=False)) == 0.0  # 3 -> 5 takes 10 h in any case
    assert added_hours(phases, stage_of, (), group, Schedule(1, by_stage=True)) == 0.0  # one at a time anyway
    assert added_hours(phases, stage_of, (), ("2", "4"), Schedule(4, by_stage=True)) == 0.0  # two stages: never at the same time


def test_without_any_hours_the_cost_is_unknown_not_zero():
    phases = [spec("1", None), spec("2", None)]
    assert added_hours(phases, analyse(phases).stage_of, (), ("1", "2"), Schedule()) is None


def test_edges_follow_the_document_whatever_order_the_groups_name_and_close_no_cycle():
    phases = [spec("1", 2.0), spec("2", 3.0), spec("3", 4.0)]
    analysis = analyse(phases)
    edges = serial_edges([phase.key for phase in phases], analysis.stage_of, [("3", "1"), ("2", "3"), ("2", "1")])
    assert edges == {"2": ("1",), "3": ("1", "2")}
    assert chain_with(phases, analysis.stages, edges) == (("1", "2", "3"), 9.0)


# What dataflow saves over stages: hours worked out by hand.

RAGGED = [spec("1", 1.0), spec("2", 5.0), spec("3", 4.0, needs=("1",))]  # 1 -> 3, and 2 beside them
DIAMOND = [spec("1", 2.0), spec("2a", 3.0, needs=("1",)), spec("2b", 1.0, needs=("1",)), spec("3", 2.0, needs=("2a", "2b"))]
# Longest remaining path first: with two slots the chain 3 -> 4 (1 + 5 h) goes before the lone 2 (1 h).
LONGEST_FIRST = [spec("1", 1.0), spec("2", 1.0), spec("3", 1.0), spec("4", 5.0, needs=("3",))]


def saved(phases: list[PhaseSpec], slots: int, history: list[FinishedPhase] | None = None, extra=None):
    analysis = analyse(phases)
    found = expected_saving(phases, analysis.stage_of, ratios_of(history or [], 1), slots, extra or {})
    return (found.stages_hours, found.dataflow_hours) if found else None


@pytest.mark.parametrize(
    ("phases", "slots", "stages", "dataflow"),
    [
        (RAGGED, 4, 9.0, 5.0),  # max(1, 5) + 4; and max(1 + 4, 5)
        (RAGGED, 1, 10.0, 10.0),  # one at a time: all the work
        (DIAMOND, 4, 7.0, 7.0),  # 2 + max(3, 1) + 2 both ways
        (DIAMOND, 1, 8.0, 8.0),
        (LONGEST_FIRST, 2, 7.0, 6.0),  # (1, 2) then 3 at 1 h, its stage over at 2 h, + 5; and 3 at once, 4 from 1 h to 6 h
    ],
)
def test_makespans_of_both_schedulings_are_those_worked_out_by_hand(phases, slots, stages, dataflow):
    assert saved(phases, slots) == (stages, dataflow)


def test_a_conflict_that_runs_one_after_the_other_counts_in_both():
    phases = [spec("1", 2.0), spec("2", 3.0)]
    assert saved(phases, 4) == (3.0, 3.0)
    assert saved(phases, 4, extra={"2": ("1",)}) == (5.0, 5.0)


def test_a_saving_is_scaled_by_what_finished_phases_took():
    assert saved(RAGGED, 4, done(2.0)) == (18.0, 10.0)


def test_no_saving_is_told_while_the_hours_of_a_phase_are_not_known():
    assert saved([spec("1"), spec("2", None)], 4) is None
    assert saved([], 4) is None


def test_phases_that_are_done_already_hold_nobody_up():
    left = [spec("3", 4.0, needs=("1",))]
    found = expected_saving(left, {"3": 2}, {}, 4)
    assert found is not None and (found.stages_hours, found.dataflow_hours, found.from_history) == (4.0, 4.0, False)


@pytest.mark.parametrize("slots", [1, 3, 8])
def test_no_makespan_is_below_the_longest_chain_or_the_work_over_the_slots_and_none_above_all_the_work(slots: int):
    phases = [
        spec(str(number), float(1 + number * 7 % 5), needs=tuple(str(one) for one in (number - 9, number - 5) if one > 0 and number > 9))
        for number in range(1, 41)
    ]
    analysis = analyse(phases)
    stages, dataflow = saved(phases, slots)
    bound = max(analysis.longest_chain_hours, analysis.total_hours / slots)
    assert bound <= dataflow <= analysis.total_hours and bound <= stages <= analysis.total_hours


# By model, and of a whole run as it is scheduled.


def with_model(model: str, *ratios: float, project: int = 1) -> list[FinishedPhase]:
    return [FinishedPhase("low", project, 2.0, 2.0 * ratio, None, model) for ratio in ratios]


def test_the_narrowest_history_that_is_long_enough_counts():
    history = with_model("haiku", 1.0, 1.0, 1.0) + with_model("opus", 3.0, 3.0, 3.0, project=2) + with_model("sonnet", 9.0, 9.0)
    ratios = Ratios(history, project=1)
    assert [(one.median, one.own_project, one.model) for one in (ratios.of("low", "haiku"), ratios.of("low", "opus"))] == [
        (1.0, True, "haiku"),
        (3.0, False, "opus"),
    ]
    sonnet = ratios.of("low", "sonnet")  # two runs are too few: of this project, whatever was used
    assert (sonnet.median, sonnet.runs, sonnet.model) == (1.0, 5, None)
    assert ratios.of("high", "haiku") is None


def test_a_plans_forecast_follows_the_models_of_its_phases():
    phases = [spec("1"), spec("2")]
    history = with_model("haiku", 1.0, 1.0, 1.0) + with_model("opus", 3.0, 3.0, 3.0)
    found = forecast(phases, analyse(phases), history, 1, models={"1": "haiku", "2": "opus"})
    assert (found.work_hours, found.runs) == ((4.0, 4.0), 6)


@pytest.mark.parametrize(("slots", "by_stage", "hours"), [(4, True, 9.0), (4, False, 5.0), (1, False, 10.0)])
def test_a_runs_forecast_is_that_of_its_schedule(slots, by_stage, hours):
    stage_of = analyse(RAGGED).stage_of
    told = forecast_run(RAGGED, stage_of, Ratios(done(2.0, 2.0, 4.0), 1), Schedule(slots, by_stage))
    assert (told.seconds[0], told.planned_hours, told.runs) == (hours * 2 * 3600, hours, 3)
    assert told.seconds[1] == pytest.approx(hours * 3.6 * 3600)


def test_a_run_has_no_forecast_unless_every_phase_has_an_estimate_and_a_history():
    assert forecast_run([spec("1"), spec("2", None)], {"1": 1, "2": 1}, Ratios(done(1.0), 1), Schedule()) is None
    assert forecast_run([spec("1", complexity="high")], {"1": 1}, Ratios(done(1.0), 1), Schedule()) is None
    assert forecast_run([], {}, Ratios(done(1.0), 1), Schedule()) is None
