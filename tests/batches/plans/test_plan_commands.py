"""`manage.py analyze` and `manage.py validate`: no database, exit codes, both outputs."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from django.core.management import execute_from_command_line

from tests.core.plans.samples import linked, phase, plan
from tests.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[3]
SEED_FLOW = linked("1; 2a < 1; 2b < 1; 3 < 2a 2b")


@pytest.fixture
def manage(monkeypatch):
    """Run a command in this process, where no test without the mark may touch the database."""

    def run(*arguments, stdin=""):
        out, err, code = io.StringIO(), io.StringIO(), 0
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                execute_from_command_line(["manage.py", *arguments])
            except SystemExit as end:
                code = end.code
        return CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    return run


def test_plans_are_read_as_a_person_does_it_in_an_installation_without_a_database(tmp_path, write):
    environment = {**os.environ, "CE_DATA_DIR": str(tmp_path / "var"), "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    command = [sys.executable, "manage.py", "validate", write(SEED_FLOW, "good.md"), write("# Nothing\n", "bad.md")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60 * PATIENCE)
    assert done.returncode == 1 and not done.stderr
    assert "good.md: 4 phases, 0 errors, 0 warnings" in done.stdout and "bad.md: No phases." in done.stdout


@pytest.mark.long
def test_beside_a_repository_both_commands_review_the_plan_and_say_which_files_exist(tmp_path, write, world):
    world.commit(".gitignore", "lib/\n")
    world.commit("src/basket.py", "")
    text = plan(phase("1", Files_Modified="lib/a.py, src/baskte.py, src/new.py"))
    environment = {**os.environ, "CE_DATA_DIR": str(tmp_path / "var"), "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    command = [sys.executable, "manage.py", "validate", write(text), "--repository", world.project.repository]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60 * PATIENCE)
    assert done.returncode == 0, done.stderr
    assert "lib/a.py is kept out of every commit by .gitignore:1 `lib/`" in done.stdout
    assert "src/baskte.py does not exist, and looks like src/basket.py" in done.stdout
    assert "new at the base branch: lib/a.py, src/new.py" in done.stdout


@pytest.mark.django_db
def test_analyze_of_a_project_prints_the_review_of_its_page(manage, write, world):
    text = plan(phase("1", Files_Modified="src/new.py"))
    found = json.loads(manage("analyze", write(text), "--project", world.project.slug, "--json").stdout)["review"]
    assert found["new_files"] == ["src/new.py"] and found["problem"] is None
    lost = json.loads(manage("analyze", write(text), "--repository", "/nowhere", "--json").stdout)["review"]
    assert "/nowhere" in lost["problem"] and manage("analyze", write(text), "--project", "none").returncode == 2


@pytest.fixture
def write(tmp_path):
    def written(text, name="plan.md"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return written


def test_analyze_prints_the_stages_in_the_seeds_words(manage, write):
    done = manage("analyze", write(SEED_FLOW))
    assert done.returncode == 0
    assert "Stage 1: Phase 1 (1 task)\nStage 2: Phase 2a, Phase 2b (2 tasks in parallel)\nStage 3: Phase 3 (1 task)\n" in done.stdout
    assert "Total stages: 3 | Max parallelism: 2 tasks/stage\n" in done.stdout
    assert "Critical path: 1 → 2a → 3 (6 h)" in done.stdout
    assert done.stdout.rstrip().endswith("0 errors, 0 warnings")


def test_analyze_json_is_the_object_of_the_contract(manage, write):
    report = json.loads(manage("analyze", write(SEED_FLOW), "--json").stdout)
    assert list(report) == [
        "title", "format", "phases", "stages", "conflicts", "cycles", "critical_path", "total_hours", "longest_chain_hours", "errors",
        "warnings", "unread", "checks",
    ]  # fmt: skip
    assert list(report["phases"][0]) == [
        "key", "title", "goal", "hours", "hours_text", "complexity", "files", "dependencies", "steps", "gates", "line", "assumed",
    ]  # fmt: skip
    assert report["stages"] == [["1"], ["2a", "2b"], ["3"]]
    assert (report["total_hours"], report["longest_chain_hours"]) == (8.0, 6.0)


def test_json_of_a_large_plan_is_not_indented(manage, write):
    small, large = (manage("analyze", write(linked("; ".join(map(str, range(1, count))))), "--json").stdout for count in (4, 1_003))
    assert small.count("\n") > 60 and large.count("\n") == 1
    assert len(json.loads(large)["phases"]) == 1_002


def test_conflicts_are_shown_with_the_cost_of_running_one_after_the_other(manage, write):
    path = write(plan(phase("1"), phase("2")))
    for command in ("analyze", "validate"):
        assert "src/a.py: phases 1, 2, in the same stage; one after the other costs 2 h" in manage(command, path).stdout
        [conflict] = json.loads(manage(command, path, "--json").stdout)["conflicts"]
        assert conflict == {"file": "src/a.py", "phases": ["1", "2"], "kind": "same_stage"}
    ordered = write(linked("1; 2 < 1"), "ordered.md")
    assert "conflict:" not in manage("validate", ordered).stdout


def test_errors_name_file_and_line_and_end_with_exit_code_1(manage, write):
    path = write(linked("1; 2a < 1; 2b < 1; 3 < 9"))
    for command in ("analyze", "validate"):
        done = manage(command, path)
        assert done.returncode == 1
        assert f'{path}:51: Phase 3 depends on "9", which does not exist. Valid phases: 1, 2a, 2b, 3.' in done.stdout


def test_cycle_is_shown_as_a_path_and_no_stages_are_invented(manage, write):
    path = write(linked("1 < 2; 2 < 1"))
    assert "1 → 2 → 1" in manage("analyze", path).stdout
    report = json.loads(manage("analyze", path, "--json").stdout)
    assert (report["stages"], report["conflicts"], report["cycles"], len(report["phases"])) == ([], [], [["1", "2", "1"]], 2)
    assert report["errors"][0]["code"] == "cycle"


def test_several_plans_are_read_and_one_bad_one_is_enough_for_exit_code_1(manage, write):
    good, bad = write(SEED_FLOW, "good.md"), write("# Nothing\n", "bad.md")
    done = manage("validate", good, bad)
    assert done.returncode == 1
    assert f"{good}: 4 phases, 0 errors, 0 warnings" in done.stdout and f"error: {bad}: No phases." in done.stdout
    reports = json.loads(manage("analyze", good, bad, "--json").stdout)
    assert [Path(report["file"]).name for report in reports] == ["good.md", "bad.md"]
    assert [one["valid"] for one in json.loads(manage("validate", good, bad, "--json").stdout)] == [True, False]


def test_plan_comes_from_the_standard_input(manage):
    done = manage("validate", "-", stdin=SEED_FLOW)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        *(f"gate: Phase {key}, gate 1: no rule can check this: a person may" for key in ("1", "2a", "2b", "3")),
        "(standard input): 4 phases, 0 errors, 0 warnings",
    ]


@pytest.mark.parametrize("command", ["analyze", "validate"])
def test_wrong_usage_ends_with_exit_code_2(manage, command, tmp_path):
    assert manage(command).returncode == 2
    missing = manage(command, str(tmp_path / "missing.md"))
    assert missing.returncode == 2 and "No such file" in missing.stderr
    assert manage(command, str(tmp_path)).returncode == 2


def test_json_input_is_a_plan_too(manage, write):
    text = json.dumps(
        {
            "items": [
                {"id": "1", "dependencies": [], "files": ["a.py"], "gates": ["a"]},
                {"id": "2", "dependencies": ["1"], "files": ["a.py"], "gates": ["a"]},
            ]
        }
    )
    done = manage("analyze", write(text, "plan.json"), "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0
    assert report["stages"] == [["1"], ["2"]]
    assert report["conflicts"] == [{"file": "a.py", "phases": ["1", "2"], "kind": "ordered"}]


def test_colours_and_control_characters_of_a_plan_do_not_reach_the_terminal(manage, write):
    done = manage("analyze", write(plan(phase("1", title="\x1b[31mred \u202e"))))
    assert "\x1b" not in done.stdout and "\u202e" not in done.stdout


def test_both_commands_say_what_each_gate_will_run_and_why_not(manage, write):
    lists = "\n\n**Steps**:\n1. a\n\n**Gates**:\n- [ ] `just test`\n- [ ] `mytool check` is happy\n- [ ] `src/a.py` exists\n"
    path = write(plan(phase("1", lists=lists)))
    shown = [
        "Phase 1, gate 1: runs just test and looks at its exit code",
        "Phase 1, gate 2: no rule can check this: a person may; its command is not run: mytool is no program that is known to say yes or no"
        " by its exit code; to run it, end the gate with (checked: `mytool check`)",
        "Phase 1, gate 3: is in the commit: src/a.py",
    ]
    assert [line for line in manage("analyze", path).stdout.splitlines() if "gate" in line and "warning" not in line] == [
        f"  {line}" for line in shown
    ]
    assert [line.removeprefix("gate: ") for line in manage("validate", path).stdout.splitlines() if line.startswith("gate: ")] == shown
    for command in ("analyze", "validate"):
        checks = json.loads(manage(command, path, "--json").stdout)["checks"]
        assert [(check["phase"], check["kind"], check["command"], check["offer"]) for check in checks] == [
            ("1", "command", "just test", ""),
            ("1", "unverified", "", "(checked: `mytool check`)"),
            ("1", "files_exist", "", ""),
        ]
        assert checks[1]["why_not_run"].startswith("mytool is no program")
