"""What a report quotes of a long output: its end, and the lines further up that say what failed."""

import pytest

from batches.core.text.excerpt import excerpt


@pytest.mark.parametrize(
    "line",
    [
        "FAILED tests/test_a.py::test_a - assert 1 == 2",
        "E       assert 1 == 2",
        "src/a.c:3:1: error: expected ‘;’",
        "error[E0308]: mismatched types",
        "not ok 3 - adds",
        "--- FAIL: TestAdd (0.00s)",
        "test tests::adds ... FAILED",
        "thread 'tests::adds' panicked at src/lib.rs:9:5:",
        "  ● adds › two numbers",
        "  ✕ adds (3 ms)",
        "make: *** [Makefile:2: test] Error 1",
        "TypeError: x is not a function",
        "npm ERR! Missing script: \"test\"",
        "sh: 1: jest: command not found",
        "fatal: bad revision 'x'",
    ],
)
def test_the_line_that_says_the_failure_is_quoted_however_much_follows(line):
    shown = excerpt("start\n" + line + "\n" + "noise\n" * 50, 12).split("\n")
    assert shown == [line, "…", *["noise"] * 10]


def test_a_short_output_is_quoted_whole_and_one_that_tells_nothing_by_its_end():
    assert excerpt("a\nb\n", 12) == "a\nb"
    assert excerpt("".join(f"{number} tests passed\n" for number in range(30)), 3) == "27 tests passed\n28 tests passed\n29 tests passed"
    assert excerpt("error: x\n" * 9 + "y\n" * 30, 6) == "error: x\n…\ny\ny\ny\ny", "once"
    assert excerpt("".join(f"FAILED {number}\n" for number in range(30)), 6) == "FAILED 0\nFAILED 1\nFAILED 2\n…\nFAILED 28\nFAILED 29"
