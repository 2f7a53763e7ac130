"""The wheel: what `pip install` brings holds all that a checkout does, and starts from an empty home."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.installation import ROOT

MOVED = ("templates", "static", "examples")  # at the top of a checkout, inside of ce_web in a wheel
PACKAGES = ("batches", "ce_web", "subagents")


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    """The wheel, built and unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    options = ("-q", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "-w", folder)
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, ROOT], check=True, capture_output=True, text=True, timeout=480)
    with zipfile.ZipFile(next(folder.glob("ce_web-*.whl"))) as wheel:
        wheel.extractall(folder / "unpacked")
    return folder / "unpacked"


@pytest.mark.long
def test_a_wheel_holds_every_file_of_the_packages_and_nothing_of_the_tests(package: Path):
    listed = subprocess.run(["git", "ls-files", "-z", *PACKAGES, *MOVED], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    wanted = {f"ce_web/files/{name}" if name.split("/")[0] in MOVED else name for name in listed.split("\0") if name}
    found = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
    assert wanted and not wanted - found, sorted(wanted - found)
    assert {name.split("/")[0] for name in found} == {*PACKAGES, "ce_web-0.2.0.dist-info"}
    told = (package / "ce_web-0.2.0.dist-info" / "METADATA").read_text()
    asked = {line for line in (ROOT / "requirements.in").read_text().splitlines() if line and not line.startswith("#")}
    assert sum(line.startswith("Requires-Dist: ") and "extra ==" not in line for line in told.splitlines()) == len(asked)
    assert "Provides-Extra: agents" in told


@pytest.mark.process
def test_an_installed_package_sets_itself_up_in_the_home_of_its_user(package: Path, tmp_path: Path):
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1"}

    def run(*arguments: str) -> str:
        line = [sys.executable, "-m", *arguments]
        return subprocess.run(line, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True, timeout=800).stdout

    assert "http://127.0.0.1:8123/sign-in/" in run("ce_web.manage", "bootstrap", "--port", "8123")
    assert {"db.sqlite3", "sample-project", "secret_key"} <= {path.name for path in (tmp_path / ".local/share/ce-web").iterdir()}
    assert "Generated:" in run("ce_web.command_line", "plan", str(package / "ce_web/files/examples/plans/text-statistics.md"))
    assert "sample-text-statistics" in run("ce_web.command_line", "list")
    page = "from django.test import Client; print(Client(HTTP_HOST='localhost').get('/static/css/base.css').status_code)"
    assert run("ce_web.manage", "shell", "-c", page).strip().endswith("200")
