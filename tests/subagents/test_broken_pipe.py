"""A pipeline that ends with 141 is explained with the line that ends well, in gates and in steps."""

import subprocess
from pathlib import Path

import pytest

from subagents.broken_pipe import why_141
from subagents.contract import GateKind, GateSpec
from tests.subagents.conftest import World, steps


@pytest.mark.parametrize(
    ("line", "better"),
    [
        ("yes | head -3", "yes | sed -n 1,3p"),
        ("yes | head", "yes | sed -n 1,10p"),
        ("yes | head -n 5 | wc -l", "yes | sed -n 1,5p | wc -l"),
        ("yes | head --lines=2 > two.txt", "yes | sed -n 1,2p > two.txt"),
        ("(yes | head -n1) && true", "(yes | sed -n 1,1p) && true"),
        ("yes | grep -q y", "yes | grep -c y"),
        ("yes | grep -E -qi 'y|n' || exit 1", "yes | grep -E -ci 'y|n' || exit 1"),
        ("yes | grep --quiet y", "yes | grep --count y"),
    ],
)
def test_the_right_line_reads_everything_and_ends_well(line: str, better: str, tmp_path: Path) -> None:
    assert why_141(line).endswith(f": {better}")
    finite = better.replace("yes", "seq 1 100000 | sed s/1/y/")
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", finite], capture_output=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_of_a_script_the_lines_that_stop_reading_are_named() -> None:
    script = "set -x\nfor n in 1 2; do\n  yes | head -2\ndone\necho head | cat\nyes | grep -q y"
    assert why_141(script).endswith(": line 3: yes | sed -n 1,2p; line 6: yes | grep -c y")
    assert why_141("yes | head -c 20").endswith("read everything")


@pytest.mark.process
def test_gates_and_steps_that_end_with_141_say_why(world: World) -> None:
    script = "true\nyes | head -1"
    gate = world.run(world.spec(gates=(GateSpec(1, "Look", GateKind.COMMAND, script),))).result
    step = world.run(world.spec(steps=steps(script))).result
    assert gate is not None and "line 2: yes | sed -n 1,1p" in gate.gates[0].note
    assert step is not None and "line 2: yes | sed -n 1,1p" in step.errors[0]
