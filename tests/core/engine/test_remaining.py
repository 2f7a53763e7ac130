"""What is left of a batch: what each phase unblocks, the longest chain, the hours."""

from batches.core.engine.remaining import RemainingPhase, hours_left, longest_chain, unblocked_by

CHAIN = [
    RemainingPhase("1", 1, (), 2),
    RemainingPhase("2a", 2, ("1",), 1),
    RemainingPhase("2b", 2, ("1",), 3),
    RemainingPhase("2c", 2, (), 1),
    RemainingPhase("3", 3, ("2a", "2b"), 2),
]


def test_finishing_a_phase_unblocks_all_that_waits_for_it_directly_or_not():
    assert unblocked_by(CHAIN) == {"1": 3, "2a": 1, "2b": 1, "2c": 0, "3": 0}
    assert unblocked_by(CHAIN[1:])["2a"] == 1, "what is done is no longer waited for"


def test_what_is_left_of_a_phase_shrinks_with_its_time_and_its_steps_and_never_below_nothing():
    began = RemainingPhase.begun("1", 1, (), 2, 1, 4, ran=1_800.0)
    assert began.at_pace(1_800).hours == 1 and not began.is_overdue(1_800)
    assert RemainingPhase.begun("1", 1, (), 2, 4, 4, ran=60.0).at_pace(1_800).hours == 0.5, "its steps say that less is left"
    late = RemainingPhase.begun("1", 1, (), 2, 1, 1, ran=5_000.0)
    assert late.at_pace(1_800).hours == 0 and late.is_overdue(1_800)
    assert CHAIN[0].at_pace(1_800) == CHAIN[0] and not CHAIN[0].is_overdue(1_800), "nothing runs"


def test_the_critical_path_is_the_chain_with_the_most_hours_left():
    assert longest_chain(CHAIN) == (("1", "2b", "3"), 7)
    assert longest_chain([]) == ((), 0)


def test_time_is_never_less_than_the_chain_nor_than_the_work_over_the_slots():
    assert hours_left(CHAIN, slots=8, by_stage=False) == 7
    assert hours_left(CHAIN, slots=1, by_stage=False) == 9
    assert hours_left(CHAIN, slots=2, by_stage=True) == 2 + 3 + 2
