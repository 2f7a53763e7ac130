import pytest

from batches.core.gates.success import Success, accepted_words, success_of, success_words
from batches.core.text.state_styles import state_icon, state_word, style_name

PASSED, FAILED, OPEN = ("plan", "passed"), ("plan", "failed"), ("plan", "unverified")


@pytest.mark.parametrize(
    ("checks", "facts", "kind"),
    [
        ([PASSED], {"changed": 1}, Success.VERIFIED),
        ([PASSED, OPEN], {"changed": 1}, Success.VERIFIED),
        ([OPEN, OPEN], {"changed": 1}, Success.NOT_VERIFIED),
        ([OPEN], {"changed": 1, "signed_off": True}, Success.VERIFIED),
        # the project's and the server's own gates say nothing of what the phase's own ask for
        ([OPEN, ("project", "passed"), ("standard", "passed")], {"changed": 1}, Success.NOT_VERIFIED),
        ([("project", "passed")], {"changed": 1}, Success.VERIFIED),
        ([("standard", "passed")], {"changed": 1}, Success.NOT_VERIFIED),
        ([], {"changed": 1}, Success.NOT_VERIFIED),
        # nothing came of it, whatever the gates say
        ([PASSED], {"changed": 0}, Success.CHANGED_NOTHING),
        # a person looks at what judged itself before it is believed
        ([PASSED], {"changed": 1, "looks": True}, Success.NEEDS_LOOK),
        ([OPEN], {"changed": 0, "looks": True}, Success.NEEDS_LOOK),
        # what a person accepted is told apart for good; what is verified needs nobody
        ([PASSED], {"changed": 0, "accepted": True}, Success.ACCEPTED),
        ([OPEN], {"changed": 1, "accepted": True}, Success.ACCEPTED),
        ([PASSED], {"changed": 1, "looks": True, "accepted": True}, Success.ACCEPTED),
        ([PASSED], {"changed": 1, "accepted": True}, Success.VERIFIED),
        ([PASSED], {"changed": None}, Success.VERIFIED),
        ([PASSED], {"changed": 0, "declares": False}, Success.VERIFIED),
    ],
)
def test_success_has_three_colours(checks, facts, kind):
    assert success_of(checks, **{"declares": True, **facts}) == kind


def test_only_the_verified_one_is_green_and_each_has_its_words():
    assert {style_name(kind) for kind in Success if kind not in (Success.VERIFIED, Success.ACCEPTED)} == {"stale"}
    assert state_word(Success.ACCEPTED) == "succeeded, accepted by a person" and state_icon(Success.ACCEPTED) != state_icon("succeeded")
    assert state_word(Success.NOT_VERIFIED) == "succeeded, not verified"
    assert state_word(Success.CHANGED_NOTHING) == "succeeded, changed nothing"


def test_a_run_says_what_is_behind_its_success():
    assert success_words([Success.VERIFIED]) == ""
    kinds = [Success.NOT_VERIFIED, Success.VERIFIED, Success.CHANGED_NOTHING, Success.NOT_VERIFIED]
    assert success_words(kinds) == "1 phase changed nothing, 2 phases not verified"
    assert success_words([*kinds, Success.NEEDS_LOOK, Success.ACCEPTED]).startswith("1 phase needs a look, 1 phase changed nothing")
    assert success_words([Success.ACCEPTED]) == ""
    assert accepted_words([Success.ACCEPTED, Success.VERIFIED]) == "1 phase accepted by a person"
