"""Where an attempt gets a cgroup of its own. What the kernel then does is in test_sandbox.py, which passes with groups and without."""

import os
from pathlib import Path

import pytest

from subagents import cgroups
from subagents.cgroups import AttemptGroup, place_of, room_in


def group(folder: Path, controllers: str = "cpu memory pids", *, marked: bool = False, limited: bool = True) -> Path:
    """A folder with the files of a cgroup that are looked at; with systemd's mark of a delegated one."""
    folder.mkdir(parents=True)
    (folder / "cgroup.controllers").write_text(f"{controllers}\n")
    (folder / "cgroup.subtree_control").write_text("")
    if limited:
        (folder / "memory.max").write_text("max\n")
    if marked:
        os.setxattr(folder, "user.delegate", b"1")
    return folder


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the kernel would say of this process, beside two places where cgroups could be mounted: folder one, and the test's own."""
    monkeypatch.setattr(cgroups, "OWN", str(tmp_path / "own"))
    monkeypatch.setattr(cgroups, "ROOTS", (str(tmp_path / "one"), str(tmp_path)))
    return tmp_path / "own"


def test_own_place_is_that_of_version_2_under_whichever_root_has_it(own: Path, tmp_path: Path) -> None:
    assert place_of() == ("", "")
    folder = group(tmp_path / "system.slice" / "ce.service")
    own.write_text("4:memory:/elsewhere\n0::/system.slice/ce.service\n")
    assert place_of() == (str(folder), str(tmp_path))
    for text in ("", "4:memory:/system.slice/ce.service\n", "0::/gone\n"):
        own.write_text(text)
        assert place_of() == ("", "")


@pytest.mark.parametrize(
    ("controllers", "marked", "limited", "root", "right"),
    [
        ("cpu memory pids", True, True, False, True),
        ("cpu memory pids", False, True, False, False),  # somebody else's to divide
        ("cpu pids", True, True, False, False),  # the kernel counts memory elsewhere, as where version 1 is mounted
        ("", True, True, False, False),
        ("cpu memory pids", False, True, True, True),  # a container's
        ("cpu memory pids", False, False, True, False),  # the machine's own
    ],
)
def test_groups_are_made_only_where_that_was_given_to_us(
    tmp_path: Path, controllers: str, marked: bool, limited: bool, root: bool, right: bool
) -> None:
    folder = group(tmp_path / "group", controllers, marked=marked, limited=limited)
    assert room_in(str(folder), str(folder if root else tmp_path)) == right


def test_a_service_is_divided_only_by_systemd_itself(own: Path, tmp_path: Path) -> None:
    service = group(tmp_path / "ce.service", marked=True)
    own.write_text("0::/ce.service\n")
    assert "DelegateSubgroup=" in cgroups.prepare() and AttemptGroup.of(1 << 30, 0) is None
    group(service / "main")
    own.write_text("0::/ce.service/main\n")
    assert AttemptGroup.of(1 << 30, 0) is None, "before memory is counted for the groups in it"
    assert cgroups.prepare() == f"by a cgroup for each attempt, in {service}"
    assert AttemptGroup.of(0, 0) is None, "without a limit there is nothing to keep"


def test_this_machine_says_how_memory_is_limited_and_keeps_to_it() -> None:
    own, root = place_of()
    divided = bool(own) and any(room_in(folder, root) for folder in (own, os.path.dirname(own)) if folder.startswith(root))
    if not divided:  # else it would move this process
        assert cgroups.prepare() == f"watched, {cgroups.NO_ROOM}" and AttemptGroup.of(1 << 30, 0) is None


def test_a_group_that_takes_no_process_goes_and_memory_is_watched(tmp_path: Path) -> None:
    group = object.__new__(AttemptGroup)
    group.path, group.memory = str(tmp_path / "attempt-1"), 1 << 30
    (tmp_path / "attempt-1").mkdir()
    assert not group.take(os.getpid()) and not (tmp_path / "attempt-1").exists()
