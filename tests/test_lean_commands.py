"""What a command that only reads loads: its answer should take longer than its start."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.admin import site
from django.contrib.admin.checks import check_admin_app
from django.core.management import get_commands, load_command_class
from django.urls import get_resolver

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.long
RUN = """
import contextlib, json, sys
import manage
with contextlib.suppress(BaseException):
    manage.main()
print("loaded", json.dumps(sorted(sys.modules)))
"""


@pytest.mark.parametrize(
    ("arguments", "not_loaded"),
    [
        (("batch_status", "--batch", "1"), ("batches.pages.urls", "batches.admin", "batches.engine.ticker", "batches.core.plans.analysis")),
        (("batch_gen_prp", "--dry-run", "examples/plans/text-statistics.md"), ("batches.pages.urls", "batches.admin", "httpx")),
        (("batch_exe_prp", "--batch", "1"), ("batches.pages.urls", "batches.admin", "httpx")),
        (("analyze", "examples/plans/text-statistics.md"), ("batches.models", "ce_web.settings")),
        (("validate", "examples/plans/text-statistics.md"), ("batches.models", "ce_web.settings")),
    ],
)
def test_a_command_that_only_reads_loads_neither_pages_nor_the_engine(tmp_path: Path, arguments: tuple[str, ...], not_loaded) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    environment |= {"CE_DATA_DIR": str(tmp_path), "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3"}
    command = [sys.executable, "-c", RUN, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout.rpartition("loaded ")[2])
    assert "django.core.management" in loaded
    assert [name for name in not_loaded if name in loaded] == []


def test_ce_finds_the_api_without_the_addresses_of_the_pages() -> None:
    code = "from batches.management import local_api; import sys; print({'batches.pages.urls', 'batches.admin'} & set(sys.modules))"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "ce_web.settings"}
    command = [sys.executable, "-c", f"import django; django.setup(); {code}"]
    assert subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout == "set()\n"


def test_the_administration_is_found_with_the_pages_and_django_finds_no_fault_in_it() -> None:
    assert get_resolver().resolve("/admin/batches/batch/")
    assert len(site._registry) > 20 and check_admin_app(None) == []


@pytest.mark.parametrize("name", [name for name, of in get_commands().items() if of == "batches"])
def test_no_command_loads_the_pages_to_check_them_before_it_begins(name: str) -> None:
    asked = load_command_class("batches", name).requires_system_checks
    assert asked != "__all__", f"manage.py {name} checks every page before it begins"
