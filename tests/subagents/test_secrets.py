"""A secret of a project reaches the commands that it was meant for, and nothing that is kept or that others see."""

import base64
import os
from pathlib import Path
from urllib.parse import quote

import pytest

from subagents import launcher, redaction
from subagents.contract import GateKind, GateSpec, Role
from subagents.credentials import MOST_BYTES, USES, offer
from subagents.redaction import know, redact
from tests.subagents.conftest import World, steps, wait_for

VALUE = "hush &+/ 7f3a\"91zq"
LINES = "-----BEGIN KEY-----\nQUJDREVGR0hJSktMTU5P\n-----END KEY-----"


def secret(*uses: str, name: str = "TOKEN", value: str = VALUE) -> dict[str, object]:
    return {"name": name, "value": value, "uses": list(uses)}


def holders(world: World, spec, value: str = VALUE) -> list[Path]:
    places = (Path(spec.attempt_dir), world.project, world.data)
    return [path for place in places for path in place.rglob("*") if path.is_file() and value.encode() in path.read_bytes()]


def run(world: World, spec, *secrets: dict[str, object]):
    launcher.launch(spec.attempt_dir, "", secrets)
    result = world.ended(spec).result
    assert result is not None
    return result


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_known", [])


@pytest.mark.parametrize("around", [("", ""), ("a", ""), ("ab", "\n"), ("user:", "@host")])
@pytest.mark.usefixtures("known")
def test_a_secret_is_masked_in_the_usual_notations(around: tuple[str, str]) -> None:
    know(VALUE)
    whole = f"{around[0]}{VALUE}{around[1]}".encode()
    core = base64.b64encode(VALUE.encode()).decode()[4:12]
    for text in (VALUE, quote(VALUE, safe=""), VALUE.encode().hex(), VALUE.replace('"', '\\"'), quote(VALUE, safe="").replace("%20", "+")):
        assert redact(f"x{text}y") == "x[secret]y"
    for encoded in (base64.b64encode(whole).decode(), base64.urlsafe_b64encode(whole).decode()):
        assert "[secret]" in redact(encoded) and core not in redact(encoded)


@pytest.mark.usefixtures("known")
def test_each_line_of_a_secret_is_masked_by_itself() -> None:
    know(LINES)
    assert redact("  QUJDREVGR0hJSktMTU5P") == "  [secret]"
    assert redact("an ordinary line") == "an ordinary line"


@pytest.mark.process
@pytest.mark.parametrize("launch", ["fork server", "python"])
@pytest.mark.parametrize("use", USES)
def test_only_what_was_chosen_is_given_a_secret(world: World, monkeypatch: pytest.MonkeyPatch, launch: str, use: str) -> None:
    if launch == "python":
        monkeypatch.setattr(launcher.fork_server, "launch", lambda *_: None)
    seen = world.data.parent / "seen"
    seen.mkdir()
    note = 'test -z "${TOKEN-}" || touch ' + str(seen)
    gates = (GateSpec(1, "Look", GateKind.COMMAND, f"{note}/gates; true"),)
    environment = {"folder": str(world.data / "environments"), "setup": f"{note}/setup; true"}
    spec = world.spec(steps=steps(f"{note}/steps; true"), gates=gates, environment=environment)
    assert run(world, spec, secret(use)).status == "success"
    command = ["/bin/sh", "-c", f"{note}/agent; true"]
    agent = world.spec(steps=steps("true"), backend="command", options={"command": command}, role=Role.EXECUTOR)
    assert run(world, agent, secret(use)).status == "success"
    assert [path.name for path in seen.iterdir()] == ([] if use == "servers" else [use])


@pytest.mark.process
def test_a_secret_that_is_printed_is_in_no_file_and_no_result(world: World) -> None:
    say = 'echo "got $TOKEN"; printf %s "$TOKEN" | base64; env; printf "%s\\n" "$KEY"'
    gates = (GateSpec(1, "Say it", GateKind.COMMAND, f"{say}; exit 3"),)
    given = (secret(*USES), secret("steps", "gates", name="KEY", value=LINES))
    for spec in (
        world.spec(steps=steps(say), gates=gates),
        world.spec(steps=steps(f"{say}; exit 1")),
        world.spec(environment={"folder": str(world.data / "environments"), "setup": f"{say}; exit 1"}, gates=gates),
    ):
        result = run(world, spec, *given)
        said = str(result.to_json()) + "".join(str(line) for line in world.log(spec))
        assert "[secret]" in said and VALUE not in said and "QUJDREVGR0hJSktMTU5P" not in said
        assert base64.b64encode(VALUE.encode()).decode()[:20] not in said
        assert not holders(world, spec) and not holders(world, spec, "QUJDREVGR0hJSktMTU5P")


@pytest.mark.process
def test_no_process_shows_a_secret_among_its_arguments(world: World) -> None:
    spec = world.spec(steps=steps("touch started; sleep 30"))
    launcher.launch(spec.attempt_dir, "", [secret("steps")])
    wait_for(lambda: Path(spec.checkout, "started").exists())
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                shown = Path(f"/proc/{entry}/cmdline").read_bytes()
            except OSError:
                continue
            assert VALUE.encode() not in shown
    launcher.stop(spec.attempt_dir, force=True)


def test_too_much_for_a_pipe_is_refused_and_waits_for_nobody() -> None:
    with pytest.raises(ValueError, match="at most"):
        offer("", [secret("steps", value="x" * MOST_BYTES)])
