"""Phases that change what judges them, or take back what others did: real steps, real git, real gates."""

import pytest

from batches.accounts.actor import Actor
from batches.core.errors import ServiceError
from batches.engine import reporting
from batches.gates.sign_offs_and_acceptances import accept_phase
from batches.models import Result
from batches.repositories.merges import merge_batch
from subagents.protected_paths import usual_patterns
from tests.batches import builders
from tests.batches.world import ACTOR, World, phase, plan

pytestmark = pytest.mark.process

TEST = "from calc import add\n\n\ndef test_add():\n    assert add(2, 3) == 5\n"
WRONG, RIGHT = "def add(a, b):\\n    return a - b\\n", "def add(a, b):\\n    return a + b\\n"
PYTEST = "`python -m pytest -q tests/`"


def files(world: World, **named: str) -> None:
    """Commit files; a name's double underscore is a dot, its triple one a slash."""
    for name, text in named.items():
        world.commit(name.replace("___", "/").replace("__", "."), text)


def run_one(world: World, gate: str, *commands: str, declared: str = "calc.py"):
    run = world.finish(world.execute(world.generated(plan(phase("1", files=declared, steps=commands, gates=(gate,))))))
    return run, world.task(run, "1")


def looks(run, key: str = "1") -> list[dict]:
    return Result.objects.filter(attempt__task__run=run, attempt__task__name=key).latest("pk").data["looks"]


SLEEPING = {
    "calc__py": "def add(a, b):\n    return 0\n",
    "tests___test_calc__py": TEST,
    "tests___check__sh": "python -m pytest -q tests/test_calc.py\n",
}

EASY = "printf 'def test_x(): pass\\n' > tests/test_x.py"
LIES = {
    "replaces the test file": (PYTEST, "printf 'def test_add():\\n    pass\\n' > tests/test_calc.py"),
    "replaces the script": ("`bash tests/check.sh`", "echo true > tests/check.sh"),
    "replaces what the script calls": ("`bash tests/check.sh`", "printf 'def test_add():\\n    pass\\n' > tests/test_calc.py"),
    "adds conftest.py": (PYTEST, "printf 'def pytest_sessionfinish(session): session.exitstatus = 0\\n' > conftest.py"),
    "adds pytest.ini": (PYTEST, f"printf '[pytest]\\naddopts = --ignore=tests/test_calc.py\\n' > pytest.ini; {EASY}"),
    "deselects in setup.cfg": (PYTEST, f"printf '[tool:pytest]\\naddopts = -k test_x\\n' > setup.cfg; {EASY}"),
    "deletes the failing test": (PYTEST, f"git rm -q tests/test_calc.py; {EASY}"),
    "links the test elsewhere": (PYTEST, f"{EASY}; ln -sf test_x.py tests/test_calc.py"),
    "ends the run when it is collected": (PYTEST, "printf 'import os\\nos._exit(0)\\n' > tests/test_aaa.py"),
    "shadows pytest": (PYTEST, "printf 'print(\"1 passed\")\\n' > pytest.py"),
    "shadows a module of the script": ("`python tests/run.py`", "printf 'import os\\nos._exit(0)\\n' > tests/json.py"),
    "edits the make target": ("`make check`", "printf 'check:\\n\\ttrue\\n' > Makefile"),
    "edits the npm script": ("`npm run check`", "printf '{\"scripts\": {\"check\": \"true\"}}' > package.json"),
}


def test_a_gate_that_passes_only_by_a_judge_that_the_phase_made_fails_with_the_reason(world: World):
    files(world, **SLEEPING, Makefile="check:\n\tbash tests/check.sh\n", package__json='{"scripts": {"check": "bash tests/check.sh"}}')
    files(world, tests___run__py="import json\nfrom calc import add\nassert add(2, 3) == 5\n")
    phases = [
        phase(str(number), title=lie, files="calc.py", steps=(f"printf '{WRONG}' > calc.py; {command}",), gates=(gate,))
        for number, (lie, (gate, command)) in enumerate(LIES.items(), start=1)
    ]
    run = world.finish(world.execute(world.generated(plan(*phases)), on_conflict="warn"))
    for task in run.tasks.filter(phase__isnull=False).select_related("phase"):
        assert (task.state, task.reason) == ("failed", "gate_failed"), f"{task.phase.title}: {run.report}"
        by_the_judge = "passes only with the phase's own" in task.message and "does not declare" in task.message
        assert by_the_judge or "told of no test that ran" in task.message, f"{task.phase.title}: {task.message}"
    assert run.tasks.count() == len(LIES)


def test_a_gate_that_also_passes_by_the_judge_before_passes_and_the_phase_needs_a_look(world: World):
    files(world, **SLEEPING)
    more = TEST + "\n\ndef test_more():\n    assert add(1, 1) == 2\n"
    run, task = run_one(world, PYTEST, f"printf '{RIGHT}' > calc.py; cat > tests/test_calc.py <<'PY'\n{more}PY\ntouch -d @0 calc.py")
    assert task.state == "succeeded", run.report
    [look] = looks(run)
    assert look["path"] == "tests/test_calc.py" and not look["declared"]
    named = "takes its tests from tests/test_calc.py, which the phase changed and does not declare"
    assert look["text"].endswith(f"{named}; judged again with the version before, it passes")
    assert "succeeded, 1 phase needs a look" in run.report and f"look: {look['text']}" in run.report
    with pytest.raises(ServiceError, match=r"Phase 1 needs a look first .*tests/test_calc.py.* Accept it on the page of the phase"):
        merge_batch(batch=run.batch, actor=ACTOR)
    accept_phase(phase=task.phase, reason="The new test is right.", actor=Actor.person(builders.make_user()))
    assert merge_batch(batch=run.batch, actor=ACTOR).merged


def test_a_declared_judge_is_judged_as_it_is_and_named_and_a_first_test_has_no_version_before(world: World):
    files(world, **SLEEPING)
    easy = f"printf '{WRONG}' > calc.py; printf 'def test_add(): pass\\n' > tests/test_calc.py"
    run, task = run_one(world, PYTEST, easy, declared="calc.py, tests/")
    assert task.state == "succeeded", run.report
    assert [(look["path"], look["declared"]) for look in looks(run)] == [("tests/test_calc.py", True)]
    first = "mkdir spec; printf 'def test_new(): pass\\n' > spec/test_new.py; echo '# seen' >> calc.py"
    run, task = run_one(world, "`python -m pytest -q spec/`", first)
    assert task.state == "succeeded", run.report
    [look] = looks(run)
    assert look["path"] == "spec/test_new.py" and "there is no version before it to judge by" in look["text"]


def test_work_beside_the_judges_asks_for_no_look(world: World):
    files(world, **SLEEPING, package__json='{"scripts": {"check": "bash tests/check.sh"}}')
    adds = """printf '{"scripts": {"check": "bash tests/check.sh"}, "dependencies": {"a": "1"}}' > package.json"""
    does = f"printf '{RIGHT}' > calc.py; {adds}; echo x > notes.txt"
    run, task = run_one(world, "`npm run check`", does, declared="calc.py, package.json")
    assert task.state == "succeeded", run.report
    assert [(look["kind"], look["declared"]) for look in looks(run)] == [("protected", True)], "a dependency is no judge"


REACHES_OUT = {  # what others do with it as soon as the merged tree is theirs
    ".claude/settings.json": "an agent runs its hooks",
    "web/CLAUDE.md": "an agent obeys it",
    ".mcp.json": "an agent starts its servers",
    ".github/workflows/ci.yml": "continuous integration runs it",
    ".husky/pre-commit": "git runs it",
    ".vscode/tasks.json": "an editor runs it",
    "requirements-dev.txt": "an installer downloads what it names",
}


def test_a_protected_file_changed_undeclared_is_named_everywhere_and_refused_by_the_merge_until_a_person_accepts(world: World, client):
    world.project.protected_paths = usual_patterns()
    world.project.save()
    gate, every = ("`test -f a.txt`",), list(REACHES_OUT)
    does = "; ".join(f"mkdir -p $(dirname {path}); echo 1 > {path}" for path in every)
    again = "echo b > b.txt; " + does.replace("echo 1", "echo 2")
    declaring = phase("2", files=", ".join(["b.txt", *every]), steps=(again,), gates=gate, needs="1")
    text = plan(phase("1", files="a.txt", steps=(f"echo a > a.txt; {does}",), gates=gate), declaring)
    run = world.finish(world.execute(world.generated(text)))
    assert set(world.states(run).values()) == {"succeeded"}, run.report
    for key in ("1", "2"):
        found = {(look["path"], look["kind"], look["declared"]) for look in looks(run, key)}
        assert found == {(path, "protected", key == "2") for path in every}
    said = "the phase added .mcp.json, protected by .mcp.json, and does not declare it"
    client.force_login(builders.make_user())
    for address in ("", "phases/1/", "changes/?phase=1", "merge/"):
        assert said in client.get(f"/batches/{run.batch.number}/{address}").text, address
    assert said in reporting.status_of(run.batch)[1]["results"][0]["looks"]
    with pytest.raises(ServiceError, match=r"Phase 1 needs a look first .*Accept it on the page of the phase"):
        merge_batch(batch=run.batch, actor=ACTOR)
    accept_phase(phase=world.task(run, "1").phase, reason="Wanted.", actor=Actor.person(builders.make_user("bob")))
    assert merge_batch(batch=run.batch, actor=ACTOR).merged


def test_a_project_says_itself_what_it_protects(world: World):
    world.project.protected_paths = "*.lock\ndocs/api/"
    world.project.save()
    run, _ = run_one(world, "`test -d .`", "mkdir -p x docs/api; echo 1 > x/a.lock; echo 1 > docs/api/a.md; echo 1 > .mcp.json")
    assert {look["path"] for look in looks(run)} == {"x/a.lock", "docs/api/a.md"}


UNDOES = {
    "git reset --hard HEAD~1; echo x > c.txt": "takes back what phase 1 did in a.txt",
    "git checkout -q HEAD~1 -- a.txt; echo x > c.txt": "takes back what phase 1 did in a.txt",
    "git -c user.name=a -c user.email=a@b revert --no-edit -m 1 HEAD; echo x > c.txt": "takes back what phase 1 did in a.txt",
    "printf '1\\n2\\n3\\nmore\\n' > a.txt; echo x > c.txt": "takes back what phase 1 did in a.txt",
    "rm new.txt; echo x > c.txt": "deletes new.txt, which phase 1 added",
    "git mv new.txt other.txt; echo x > c.txt": "deletes new.txt, which phase 1 added",
    ": > new.txt; echo x > c.txt": "takes back what phase 1 did in new.txt",
}


@pytest.mark.parametrize("command", UNDOES)
def test_what_takes_back_or_deletes_another_phases_work_is_named(world: World, command: str):
    world.commit("a.txt", "1\n2\n3\n")
    does = ("printf '1\\ntwo\\n3\\n' > a.txt; printf 'x\\ny\\n' > new.txt",)
    undoing = phase("2", needs="1", files="c.txt, a.txt", steps=(command,), gates=("`test -f c.txt`",))
    run = world.finish(world.execute(world.generated(plan(phase("1", files="a.txt, new.txt", steps=does), undoing)), on_conflict="warn"))
    assert not looks(run, "1")
    found = looks(run, "2")
    assert UNDOES[command] in [look["text"] for look in found] and {look["phase"] for look in found} == {"1"}


GOES_ON = "printf '1\\nTWO\\n3\\n4\\n' > a.txt; rm new.txt"


def test_who_changes_a_merged_phases_file_so_that_its_gate_fails_needs_a_look(world: World):
    overwrites = "git sparse-checkout set --no-cone /b.txt; echo other > a.txt; echo x > b.txt"
    text = plan(
        phase("1", files="a.txt", steps=("echo honest > a.txt",), gates=("`grep -qx honest a.txt`", "`test -f a.txt`")),
        phase("2", needs="1", files="a.txt, b.txt", steps=(overwrites,), gates=("`test -f b.txt`",)),
    )
    run = world.finish(world.execute(world.generated(text)))
    [look] = looks(run, "2")
    assert look["text"] == 'gate 1 of phase 1 "`grep -qx honest a.txt`" fails on this work, which changes a.txt after that phase'
    assert (look["kind"], look["phase"], looks(run, "1")) == ("taken_back", "1", [])


def test_going_on_from_another_phases_work_or_deleting_what_the_plan_says_asks_for_no_look(world: World):
    world.commit("a.txt", "1\n2\n3\n")
    text = plan(
        phase("1", files="a.txt, new.txt", steps=("printf '1\\ntwo\\n3\\n' > a.txt; echo x > new.txt",), gates=("`test -f a.txt`",)),
        phase("2", needs="1", files="a.txt, new.txt", steps=(GOES_ON,), gates=("`test -f a.txt`",)),
    )
    run = world.finish(world.execute(world.generated(text)))
    assert (world.states(run)["2"], looks(run, "2")) == ("succeeded", []), run.report


def test_an_agent_that_moves_its_head_and_rewrites_history_changes_no_history_of_ours(world: World):
    world.commit("a.txt", "1\n")
    rewrites = (
        "echo 2 > a.txt; git -c user.name=a -c user.email=a@b commit -qam sneaky; git checkout -q --orphan other; "
        "git -c user.name=a -c user.email=a@b commit -qam root; git branch -f main; git tag -f v1; rm -rf .git/objects/pack; echo 3 > c.txt"
    )
    text = plan(phase("1", files="a.txt, c.txt", steps=(rewrites,), gates=("`test -f c.txt`",)))
    before = world.git("rev-parse", "main")
    run = world.finish(world.execute(world.generated(text)))
    assert world.states(run)["1"] == "succeeded", run.report
    assert world.git("rev-parse", "main") == before and world.git("tag") == ""
    assert world.git("merge-base", "main", "ce/batch-1") == before, "what was merged goes on from where the phase began"
    assert world.git("show", "ce/batch-1:a.txt") == "2" and "sneaky" not in world.git("log", "--format=%s", "ce/batch-1")


EASY_TEST = "printf 'def test_add(): pass\\n' > tests/test_calc.py"
ADDED_TEST = "printf 'def test_x(): pass\\n' > tests/test_x.py"
OTHERS_JUDGES = {
    "before": EASY_TEST,
    "beside": f"printf '[pytest]\\naddopts = --ignore=tests/test_calc.py\\n' > pytest.ini; {ADDED_TEST}",
    "after": f"{ADDED_TEST}; ln -sf test_x.py tests/test_calc.py",
}


@pytest.mark.parametrize("order", OTHERS_JUDGES)
def test_who_changes_the_judge_of_another_phase_undeclared_needs_a_look(world: World, order: str):
    files(world, **SLEEPING)
    does = f"printf '{WRONG if order == 'before' else RIGHT}' > calc.py"
    lies = (f"echo x > note.txt; {OTHERS_JUDGES[order]}",)
    text = plan(
        phase("1", needs="Phase 2" if order == "after" else "None", files="note.txt", gates=("`test -f note.txt`",), steps=lies),
        phase("2", needs="Phase 1" if order == "before" else "None", files="calc.py", gates=(PYTEST,), steps=(does,)),
    )
    run = world.finish(world.execute(world.generated(text)))
    assert world.states(run)["1"] == world.states(run)["2"] == "succeeded", run.report
    named = [look["text"] for look in looks(run, "1") if not look["declared"]]
    assert any("gate 1 of phase 2" in text and "which the phase" in text and "does not declare" in text for text in named), named
    assert any(text.endswith("by the version before, it passes on this work") for text in named) == (order == "after")
    also = [(look["phase"], "passes only with tests/test_calc.py as phase 1 left it" in look["text"]) for look in looks(run, "2")]
    assert also == ([("1", True)] if order == "before" else []), "green by the other phase's judge alone"
    with pytest.raises(ServiceError, match=r"needs? a look first"):
        merge_batch(batch=run.batch, actor=ACTOR)


def test_who_breaks_a_merged_phase_and_makes_its_judge_easy_is_told_that_it_fails(world: World):
    files(world, **SLEEPING)
    breaks = f"printf '{WRONG}' > calc.py; {EASY_TEST}"
    first = phase("1", files="calc.py", steps=(f"printf '{RIGHT}' > calc.py",), gates=(PYTEST,))
    run = world.finish(world.execute(world.generated(plan(first, phase("2", needs="1", files="calc.py", steps=(breaks,))))))
    assert world.states(run)["2"] == "succeeded", run.report
    [text] = [look["text"] for look in looks(run, "2") if "gate 1 of phase 1" in look["text"]]
    assert text.endswith("tests/test_calc.py, which the phase changed and does not declare; by the version before, it fails on this work")


def test_what_the_plan_says_of_anothers_judges_asks_for_no_look(world: World):
    files(world, **SLEEPING)
    tests = f"printf '{TEST}' > tests/test_calc.py; echo '# more' >> tests/test_calc.py".replace("\n", "\\n")
    declared = phase("1", files="tests/", steps=(tests,), gates=("`test -f tests/test_calc.py`",))
    works = phase("2", needs="1", files="calc.py", steps=(f"printf '{RIGHT}' > calc.py",), gates=(PYTEST,))
    run = world.finish(world.execute(world.generated(plan(declared, works))))
    assert run.tasks.filter(phase__isnull=False, state="succeeded").count() == 2, run.report
    assert not [look for key in ("1", "2") for look in looks(run, key) if not look["declared"]]
