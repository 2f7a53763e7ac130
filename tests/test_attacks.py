"""The table of attacks in SECURITY.md is true: each attack names a test that is there, and no known way out is missing."""

import ast
import functools
import re
from pathlib import Path

import pytest

from subagents.sandbox import ISOLATING
from tests.subagents.test_ways_out import ONLY_BWRAP, WAYS

TESTS = Path(__file__).parent
TEXT = (TESTS.parent / "SECURITY.md").read_text()
TABLE = TEXT.partition("<!-- attacks:")[2].partition("<!-- end of attacks -->")[0]
KINDS = re.findall(r"^\*\*(.+)\*\*$", TABLE, re.M)
ROWS = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in TABLE.split("\n") if "::" in line]
WAY_OUT = "subagents/test_ways_out.py::test_no_known_way_out_is_open"


@functools.cache
def names_of(path: str) -> frozenset[str]:
    """The names of the tests in a file below tests/."""
    tree = ast.parse((TESTS / path).read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"))


def why_untrue(row: tuple[str, ...]) -> str:
    """What is wrong with a row of the table, "" for nothing."""
    if len(row) != 4 or not all(row):
        return "it has not the four cells attack, level, what holds and test"
    attack, level, _, test = row
    path, _, name = test.strip("`").partition("::")
    if not (TESTS / path).is_file() or name not in names_of(path):
        return f"there is no test {test}"
    levels = set(level.split(", "))
    if level != "all" and not levels <= ISOLATING:
        return f"there is no level {level}"
    if test.strip("`") == WAY_OUT and (attack, levels) not in [
        *((way, set(ISOLATING)) for way in WAYS),
        *((way, {"bwrap"}) for way in ONLY_BWRAP),
    ]:
        return "the test tries no such way at that level"
    return ""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_each_attack_names_a_test_that_is_there(row: tuple[str, ...]) -> None:
    assert why_untrue(row) == ""


def test_there_are_as_many_as_are_promised_each_once_and_no_way_out_is_missing() -> None:
    attacks = [row[0] for row in ROWS]
    assert len(attacks) == len(set(attacks)) >= 80
    assert len(KINDS) == len(set(KINDS)) >= 14
    assert set(WAYS) | set(ONLY_BWRAP) <= set(attacks)


@pytest.mark.parametrize(
    "row",
    [
        ("read a file outside", "bwrap", "x", f"`{WAY_OUT}`"),
        ("no such way", "bwrap, landlock", "x", f"`{WAY_OUT}`"),
        ("x", "all", "x", "`test_attacks.py::test_that_is_not_there`"),
        ("x", "all", "x", "`no_file.py::test_x`"),
        ("x", "seccomp", "x", "`test_attacks.py::test_each_attack_names_a_test_that_is_there`"),
        ("x", "all", "", "`test_attacks.py::test_each_attack_names_a_test_that_is_there`"),
    ],
)
def test_an_untrue_row_is_found(row: tuple[str, ...]) -> None:
    assert why_untrue(row)
