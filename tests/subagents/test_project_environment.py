"""The project's environment: built once by its set-up command, shown to steps and gates, part of no commit."""

import json
from pathlib import Path

import pytest

from subagents import launcher
from subagents.contract import Failure, GateKind, GateSpec, ResultStatus, StepPlan
from subagents.credentials import USES
from tests.subagents.conftest import World, user_git, wait_for

pytestmark = pytest.mark.process

SETUP = "mkdir -p node_modules/.bin && printf '#!/bin/sh\\necho tool-1' > node_modules/.bin/tool && chmod +x node_modules/.bin/tool"


def gate(command: str, position: int = 1) -> GateSpec:
    return GateSpec(position, f"`{command}`", GateKind.COMMAND, command)


def settings(world: World, setup: str = SETUP, **more: object) -> dict[str, object]:
    return {"folder": str(world.data / "environments"), "setup": setup, **more}


def built(world: World) -> list[Path]:
    return sorted((world.data / "environments").glob("*/ready.json"))


def commit(world: World, **files: str) -> str:
    for name, text in files.items():
        path = world.project / name.replace("__", "/").replace("_json", ".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    user_git(world.project, "add", "--all")
    user_git(world.project, "commit", "-q", "-m", "files")
    return user_git(world.project, "rev-parse", "HEAD")


def test_steps_and_gates_find_what_the_set_up_built_and_no_commit_holds_it(world: World) -> None:
    steps = (StepPlan(1, "Use the tool", ("tool > said.txt",)),)
    spec = world.spec(environment=settings(world), steps=steps, gates=(gate("tool | grep -x tool-1"), gate("grep -x tool-1 said.txt", 2)))
    result = world.run(spec).result
    assert result is not None and result.status == ResultStatus.SUCCESS, result
    names = user_git(world.project, "ls-tree", "-r", "--name-only", result.head_commit).split("\n")
    assert "said.txt" in names and not any(name.startswith("node_modules") for name in names)


def test_an_environment_is_built_once_for_the_same_lock_files_and_again_when_they_change(world: World) -> None:
    gates = (gate("tool"),)
    for _ in range(2):
        result = world.run(world.spec(environment=settings(world), gates=gates)).result
        assert result is not None and result.status == ResultStatus.SUCCESS
    assert len(built(world)) == 1
    commit(world, package_json="{}")
    world.run(world.spec(environment=settings(world), gates=gates))
    assert len(built(world)) == 2


def test_a_gate_sees_the_environment_of_the_lock_files_that_its_phase_wrote(world: World) -> None:
    setup = "mkdir node_modules && cat package.json > node_modules/installed"
    commit(world, package_json="old")
    steps = (StepPlan(1, "Change it", ("cat node_modules/installed > before.txt; printf new > package.json",)),)
    gates = (gate("grep -x old before.txt"), gate("grep -x new node_modules/installed", 2))
    result = world.run(world.spec(environment=settings(world, setup), steps=steps, gates=gates)).result
    assert result is not None and result.status == ResultStatus.SUCCESS, result


@pytest.mark.parametrize(("manifest", "anew"), [("setup.py", True), ("package.json", True), ("go.mod", False)])
def test_compiled_parts_are_built_from_the_sources_that_are_judged(world: World, manifest: str, anew: bool) -> None:
    """A part that an environment holds and Python or node load is old as soon as its source changes."""
    (world.project / manifest).write_text("{}\n")
    (world.project / ".gitignore").write_text("*.so\n")
    commit(world, **{"src__part.c": "old\n", "src__other.py": "old\n"})
    steps = (StepPlan(1, "Change it", ("echo new > src/part.c",)),)
    gates = (gate(f"test -e {manifest} && grep -x {'new' if anew else 'old'} src/part.so"),)
    setup = "cp src/part.c src/part.so"
    result = world.run(world.spec(environment=settings(world, setup), steps=steps, gates=gates)).result
    assert result is not None and result.status == ResultStatus.SUCCESS, result
    assert len(built(world)) == 1 + anew


def test_a_step_cannot_change_what_the_gates_will_use(world: World) -> None:
    (world.project / ".gitignore").write_text("node_modules/\n")
    user_git(world.project, "add", ".gitignore")
    user_git(world.project, "commit", "-q", "-m", "ignore")
    forge = "rm -rf node_modules; mkdir -p node_modules/.bin; printf '#!/bin/sh\\ntrue' > node_modules/.bin/check"
    forge += "; chmod +x node_modules/.bin/check"
    steps = (StepPlan(1, "Forge it", (forge, "echo done > done.txt")),)
    setup = "mkdir -p node_modules/.bin; printf '#!/bin/sh\\nfalse' > node_modules/.bin/check; chmod +x node_modules/.bin/check"
    result = world.run(world.spec(environment=settings(world, setup), steps=steps, gates=(gate("node_modules/.bin/check"),))).result
    assert result is not None and result.failure_reason == Failure.GATE_FAILED


def test_a_set_up_that_fails_is_told_with_its_output_and_is_tried_again_by_the_next_attempt(world: World) -> None:
    steps = (StepPlan(1, "Work", ("echo work > work.txt",)),)
    result = world.run(world.spec(environment=settings(world, "echo no such package; exit 3"), steps=steps)).result
    assert result is not None and result.failure_reason == Failure.SETUP_FAILED
    assert "exit code 3" in result.errors[0] and "no such package" in result.errors[0]
    assert not built(world)


def test_what_a_set_up_that_was_killed_has_left_is_used_by_nobody(world: World) -> None:
    setup = "mkdir -p node_modules/.bin; printf '#!/bin/sh\\necho half' > node_modules/.bin/tool; chmod +x node_modules/.bin/tool; "
    setup += f"test -e {world.data}/again || {{ touch {world.data}/begun; sleep 600; }}; sed -i s/half/whole/ node_modules/.bin/tool"
    spec = world.spec(environment=settings(world, setup), gates=(gate("tool | grep -x whole"),))
    launcher.launch(spec.attempt_dir)
    wait_for((world.data / "begun").exists)
    launcher.stop(spec.attempt_dir, force=True)
    assert world.ended(spec).result is None and built(world) == []
    (world.data / "again").touch()
    result = world.run(world.spec(environment=settings(world, setup), gates=(gate("tool | grep -x whole"),))).result
    assert result is not None and result.status == ResultStatus.SUCCESS, result


def test_files_brought_along_are_there_and_in_no_commit(world: World) -> None:
    (world.project / ".env").write_text("KEY=value\n")
    (world.project / ".gitignore").write_text(".env\n")
    user_git(world.project, "add", ".gitignore")
    user_git(world.project, "commit", "-q", "-m", "ignore")
    given = settings(world, "", bring_along=[".env"])
    steps = (StepPlan(1, "Read it", (". ./.env; echo $KEY > key.txt",)),)
    gates = (gate("grep KEY=value .env"), gate("grep value key.txt", 2))
    result = world.run(world.spec(environment=given, steps=steps, gates=gates)).result
    assert result is not None and result.status == ResultStatus.SUCCESS, result.errors
    assert ".env" not in user_git(world.project, "ls-tree", "--name-only", result.head_commit).split("\n")


def test_variables_name_the_environment_and_reach_gates(world: World) -> None:
    given = settings(world, 'echo built > "$STORE/mark"', variables={"STORE": "{environment}"})
    result = world.run(world.spec(environment=given, gates=(gate('grep -x built "$STORE/mark"'),))).result
    assert result is not None and result.status == ResultStatus.SUCCESS, result


def test_no_variable_of_a_project_has_the_programs_that_make_the_sandbox_load_or_write_anything(world: World) -> None:
    """The loader of bwrap, of setpriv, and of whatever else starts outside, obeys LD_*: it would write the file, or load code."""
    told = {"LD_DEBUG": "libs", "LD_DEBUG_OUTPUT": str(world.data.parent / "loaded")}
    given = settings(world, variables={**told, "STORE": "kept"})
    secrets = [{"name": name, "value": value, "uses": list(USES)} for name, value in told.items()]
    spec = world.spec(environment=given, steps=(StepPlan(1, "Work", ("true",)),), gates=(gate('test "$STORE" = kept'),))
    launcher.launch(spec.attempt_dir, "", secrets)
    result = world.ended(spec).result
    assert result is not None and result.status == ResultStatus.SUCCESS, result
    assert not list(world.data.parent.glob("loaded*"))


def test_a_file_that_a_link_leads_to_is_not_brought_along(world: World, tmp_path: Path) -> None:
    (tmp_path / "secret_key").write_text("the server's")
    (world.project / ".env").symlink_to(tmp_path / "secret_key")
    (world.project / "folder").symlink_to(tmp_path)
    for path in (".env", "folder/secret_key"):
        result = world.run(world.spec(environment=settings(world, "", bring_along=[path]), gates=(gate(f"cat {path}"),))).result
        assert result is not None and "a link leads from there to another place" in str(result.errors), result


@pytest.mark.usefixtures("another_environment")
@pytest.mark.parametrize("network", [True, False])
def test_what_may_use_the_network_gets_the_proxy_and_the_certificates_of_the_machine(
    world: World, monkeypatch: pytest.MonkeyPatch, network: bool
) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/ssl/company.pem")
    setup = "mkdir node_modules && echo \"${https_proxy-} ${SSL_CERT_FILE-}\" > node_modules/out"
    said = "http://proxy.example:3128 /etc/ssl/company.pem" if network else " "
    gates = (gate(f"grep -x '{said}' node_modules/out"), gate('test -z "${https_proxy-}${SSL_CERT_FILE-}"', 2))
    result = world.run(world.spec(environment=settings(world, setup, network=network), gates=gates)).result
    assert result is not None and result.status == ResultStatus.SUCCESS, result


def test_a_package_installed_in_place_is_imported_from_the_checkout_that_is_judged(world: World) -> None:
    """`pip install -e .` leads to the environment's own checkout, which holds the code of the base."""
    commit(world, src__shop____init__="", src__shop__price="")
    base = world.project / "src" / "shop"
    (base / "__init__.py").write_text("PRICE = 1\n")
    (world.project / "pyproject.toml").write_text('[project]\nname = "shop"\nversion = "1"\n')
    user_git(world.project, "add", "--all")
    user_git(world.project, "commit", "-q", "-m", "shop")
    setup = "python3 -m venv --without-pip .venv && echo $PWD/src > $(echo .venv/lib/python3*/site-packages)/shop.pth"
    steps = (StepPlan(1, "Raise the price", ("echo 'PRICE = 2' > src/shop/__init__.py",)),)
    gates = (gate("python -c 'import shop; assert shop.PRICE == 2, shop.__file__'"),)
    result = world.run(world.spec(environment=settings(world, setup), steps=steps, gates=gates), 60).result
    assert result is not None and result.status == ResultStatus.SUCCESS, result
    (ready,) = built(world)
    assert json.loads(ready.read_text())["python_path"] == ["src"]


def test_attempts_that_need_the_same_environment_build_it_once_between_them(world: World) -> None:
    setup = "echo x >> $COUNTER; mkdir node_modules"
    given = settings(world, setup, variables={"COUNTER": "{environment}/counter"})
    gates = (gate("test -d node_modules"),)
    specs = [world.spec(environment=given, gates=gates, task_id=f"phase-{key}", key=key) for key in ("1", "2", "3")]
    for spec in specs:
        launcher.launch(spec.attempt_dir)
    for spec in specs:
        result = world.ended(spec, 60).result
        assert result is not None and result.status == ResultStatus.SUCCESS, result
    (ready,) = built(world)
    assert (ready.parent / "counter").read_text() == "x\n"


CHECK = "mkdir -p node_modules/.bin; printf '#!/bin/sh\\nfalse' > node_modules/.bin/check; chmod +x node_modules/.bin/check"


def test_without_a_sandbox_what_a_step_changed_in_the_environment_is_found_and_no_gate_uses_it(world: World) -> None:
    """The links lead to folders that commands may write there: the environment is compared with what was built."""
    (world.project / ".gitignore").write_text("node_modules/\n")
    commit(world)
    forge = "printf '#!/bin/sh\\ntrue' > node_modules/.bin/check"
    for _ in range(2):  # the second attempt finds the environment as the first has left it
        steps = (StepPlan(1, "Forge it", ("node_modules/.bin/check || echo honest > said.txt", forge, "echo done > done.txt")),)
        gates = (gate("grep honest said.txt"), gate("node_modules/.bin/check", 2))
        spec = world.spec(sandbox="rlimit", environment=settings(world, CHECK), steps=steps, gates=gates)
        result = world.run(spec).result
        assert result is not None and result.failure_reason == Failure.GATE_FAILED
        assert [outcome.status for outcome in result.gates] == ["passed", "failed"] and result.gates[1].exit_code == 1, result.gates
        assert any("is not as it was built" in str(line) for line in world.log(spec)), world.log(spec)
    assert len(built(world)) == 3, "each was built anew beside the one before, which others may have been using"


@pytest.mark.parametrize(
    "change",
    [
        "printf '#!/bin/sh\\ntrue' > node_modules/.bin/check",
        "chmod u+w node_modules/.bin; rm node_modules/.bin/check; ln -s /bin/true node_modules/.bin/check",
        "chmod u+w node_modules; echo > node_modules/index.js",
        "f=node_modules/.bin/check; cp -p $f kept; printf '#!/bin/sh\\ntrue' > $f; $f; cp -p kept $f",
    ],
)
def test_without_a_sandbox_no_gate_is_green_that_ran_beside_a_change_of_the_environment(world: World, change: str) -> None:
    gates = (gate(change), gate("true", 2))
    result = world.run(world.spec(sandbox="rlimit", environment=settings(world, CHECK), gates=gates)).result
    assert result is not None and result.failure_reason == Failure.GATE_FAILED
    assert [outcome.status for outcome in result.gates] == ["failed", "failed"]
    assert all("environment was changed while gates ran (checkout/node_modules" in outcome.note for outcome in result.gates)


def test_without_a_sandbox_an_environment_that_nobody_changed_is_used_again(world: World) -> None:
    for _ in range(2):
        result = world.run(world.spec(sandbox="rlimit", environment=settings(world), gates=(gate("tool | grep -x tool-1"),))).result
        assert result is not None and result.status == ResultStatus.SUCCESS, result
    assert len(built(world)) == 1
