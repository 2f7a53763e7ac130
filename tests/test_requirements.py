"""The locked requirements: every package with a version and hashes, the same version everywhere, and nowhere to fetch it from."""

import re

import pytest

from tests.installation import ROOT

NAMES = ("requirements", "requirements-agents", "requirements-dev", "requirements-tools")
LINE = re.compile(r"^([A-Za-z0-9._-]+)==([\w.]+)(?: ; .+)?$")


def locked(name: str) -> dict[str, str]:
    """{package: version}; AssertionError for a line that is not pinned to a version and hashes."""
    text = (ROOT / f"{name}.txt").read_text(encoding="utf-8").replace(" \\\n", "\n")
    found, last, hashes = {}, "", 0
    for line in [line for line in text.splitlines() if not line.startswith("#")] + ["end==1"]:
        if line.startswith("    --hash=sha256:"):
            hashes += 1
            continue
        assert not last or hashes, f"{name}: {last} has no hash"
        parts = LINE.match(line)
        assert parts, f"{name}: {line!r} is not pinned"
        last, hashes = line, 0
        found[parts[1].lower()] = parts[2]
    found.pop("end")
    return found


def named(name: str) -> set[str]:
    """The packages that a person asked for."""
    lines = (ROOT / f"{name}.in").read_text(encoding="utf-8").splitlines()
    return {re.split(r"[\[<>=~ ]", line)[0].lower() for line in lines if line and not line.startswith(("#", "-"))}


@pytest.mark.parametrize("name", NAMES)
def test_everything_asked_for_is_locked_with_hashes(name):
    assert named(name) and named(name) <= set(locked(name))


def test_a_package_has_one_version_in_all_files_of_an_environment():
    versions: dict[str, set[str]] = {}
    for name in NAMES[:3]:
        for package, version in locked(name).items():
            versions.setdefault(package, set()).add(version)
    assert {package: found for package, found in versions.items() if len(found) > 1} == {}
    assert set(locked("requirements")) | set(locked("requirements-agents")) <= set(locked("requirements-dev"))


def test_the_files_name_no_place_to_fetch_from_and_installing_asks_for_the_hashes():
    for path in ROOT.glob("requirements*"):
        assert not re.search(r"https?://|--(extra-)?index|--find-links|--trusted", path.read_text(encoding="utf-8")), path.name
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "--require-hashes" in makefile and makefile.count(" -m pip install") == 1
