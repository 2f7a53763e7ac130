"""docs/plan-format.md tells the truth: every code, its rank, and an example without a fault."""

import re
from pathlib import Path

from batches.core.plans.reader import IssueCode, read_plan
from tests.core.plans.test_plan_hostile import WARNINGS

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "plan-format.md").read_text()
ROWS = dict(re.findall(r"^\| `([a-z0-9-]+)` \| (error|warning) \|", TEXT, re.MULTILINE))


def test_every_code_is_explained_once_and_no_other():
    assert sorted(re.findall(r"^\| `([a-z0-9-]+)` \|", TEXT, re.MULTILINE)) == sorted(code.value for code in IssueCode)


def test_errors_and_warnings_are_called_so():
    assert {code for code, rank in ROWS.items() if rank == "warning"} == WARNINGS


def test_example_has_no_fault():
    example = re.search(r"^```markdown\n(.*?)\n```$\n\n`manage", TEXT, re.MULTILINE | re.DOTALL)
    assert example is not None
    reading = read_plan(example[1])
    assert (reading.errors, reading.warnings) == ((), ())
    assert reading.plan.phases[0].steps[1].commands == ("pytest -q",)
