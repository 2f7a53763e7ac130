"""What nobody has used for long is removed, and never under anybody who uses it."""

import fcntl
import os
import time
from pathlib import Path

import pytest

from subagents.built_environment import ProjectEnvironment
from subagents.clean_checkout import CleanCheckout
from subagents.contract import GateKind, GateSpec, ResultStatus, TaskSpec, replace
from subagents.idle_places import ENVIRONMENT_SECONDS, PLACE_SECONDS, prune
from subagents.open_repository import open_repository
from tests.subagents.conftest import World

pytestmark = pytest.mark.process


def spec_in(world: World, **more: object) -> TaskSpec:
    """A spec whose folders lie in the data directory as the server has them."""
    spec = world.spec(**more)
    return replace(spec, checkout=str(world.data / "checkouts/project/1"))


def renewed(spec: TaskSpec) -> CleanCheckout:
    place = CleanCheckout(spec, open_repository(spec.repository), spec.base_commit)
    place.renew()
    return place


def test_a_place_of_the_judge_goes_when_it_is_idle_and_never_while_it_is_used(world: World) -> None:
    spec = spec_in(world)
    place = renewed(spec)
    late = time.time() + PLACE_SECONDS + 60
    assert prune(str(world.data), now=late) == [] and os.path.isdir(place.path)
    os.close(place._lock)  # as the end of the attempt's process does
    assert prune(str(world.data), now=time.time() + PLACE_SECONDS - 60) == [] and os.path.isdir(place.path)
    assert prune(str(world.data), now=late) == [place.folder]
    assert os.listdir(place.folder) == ["lock"], "whoever waits for the lock still finds it"
    assert prune(str(world.data), now=late) == []
    again = renewed(spec)
    assert again.folder == place.folder and Path(again.path, "README.md").exists()


def test_an_environment_goes_when_it_is_idle_and_never_while_it_is_used(world: World) -> None:
    setup = "mkdir node_modules; touch node_modules/x; chmod 555 node_modules"
    given = {"folder": str(world.data / "environments/project"), "setup": setup}
    gates = (GateSpec(1, "x", GateKind.COMMAND, "test -e node_modules/x"),)
    spec = world.spec(environment=given, gates=gates)
    result = world.run(spec).result
    assert result is not None and result.status == ResultStatus.SUCCESS, result
    (ready,) = (world.data / "environments/project").glob("*/ready.json")
    late = time.time() + ENVIRONMENT_SECONDS + 60
    assert prune(str(world.data), now=late - 120) == []
    with open(ready.parent.with_suffix(".lock")) as lock:  # somebody builds or is about to use it
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert prune(str(world.data), now=late) == []
    assert prune(str(world.data), now=late) == [str(ready.parent)] and not ready.parent.exists()
    result = world.run(world.spec(environment=given, gates=gates)).result
    assert result is not None and result.status == ResultStatus.SUCCESS, "it is built again for whoever needs it"


def test_what_uses_an_environment_keeps_it(world: World) -> None:
    folder = world.data / "environments/project/abc"
    folder.mkdir(parents=True)
    ProjectEnvironment("abc", str(folder)).hold()
    late = time.time() + ENVIRONMENT_SECONDS + 60
    assert prune(str(world.data), now=late) == [] and folder.exists()


def test_where_space_is_short_ten_minutes_are_long(world: World) -> None:
    place = renewed(spec_in(world))
    os.close(place._lock)
    assert prune(str(world.data), tight=True) == []
    assert prune(str(world.data), tight=True, now=time.time() + 900) == [place.folder]


def test_a_scratch_folder_goes_when_its_process_is_gone(tmp_path: Path) -> None:
    mine, of_nobody = tmp_path / f"merge-preview-{os.getpid()}", tmp_path / "merge-preview-4194999"
    for folder in (mine, of_nobody, tmp_path / "sample-project"):
        folder.mkdir()
    assert prune(str(tmp_path)) == [str(of_nobody)] and mine.is_dir()
