"""What would make the engine lose or repeat work is refused by name."""

from dataclasses import replace

import pytest

from batches.checks import check_queue, check_sandbox
from batches.core.errors import ServiceError
from batches.engine import sandboxing
from subagents import sandbox


def test_the_settings_as_shipped_pass():
    assert check_queue() == []


@pytest.mark.parametrize(
    ("changed", "identifier"),
    [({"orm": None}, "batches.E001"), ({"retry": 30}, "batches.W002"), ({"timeout": 12, "retry": 60}, "batches.W003")],
)
def test_a_queue_that_would_lose_or_repeat_work_is_named(settings, changed, identifier):
    settings.Q_CLUSTER = {**settings.Q_CLUSTER, **changed}
    assert [message.id for message in check_queue()] == [identifier]


@pytest.fixture
def no_bubblewrap(monkeypatch, settings, tmp_path):
    """As on a machine where it is not installed."""
    monkeypatch.setattr(sandbox, "BWRAP", "")
    monkeypatch.setattr(sandboxing, "BWRAP", "")
    settings.CE_DATA_DIR = tmp_path


def test_a_sandbox_that_was_asked_for_by_name_must_hold(no_bubblewrap, settings):
    settings.CE_SANDBOX = "bwrap"
    assert [message.id for message in check_sandbox()] == ["batches.E004"]
    settings.CE_SANDBOX = "auto"
    assert check_sandbox() == []


@pytest.mark.parametrize(("backend", "allowed", "refused"), [("steps", False, False), ("command", False, True), ("command", True, False)])
def test_agents_are_refused_without_isolation_unless_that_is_allowed(settings, tmp_path, backend, allowed, refused):
    settings.CE_DATA_DIR, settings.CE_SANDBOX, settings.CE_ALLOW_UNSANDBOXED = tmp_path, "rlimit", allowed
    if refused:
        with pytest.raises(ServiceError, match="CE_ALLOW_UNSANDBOXED=1"):
            sandboxing.refuse_unsandboxed_agent(backend)
    else:
        sandboxing.refuse_unsandboxed_agent(backend)


def test_what_was_found_is_kept_for_the_boot_and_tried_again_when_another_level_is_asked_for(settings, tmp_path):
    settings.CE_DATA_DIR, settings.CE_SANDBOX = tmp_path, "auto"
    first = sandboxing.sandbox_level()
    sandboxing.known_levels.clear()
    assert sandboxing.sandbox_level() == first and first.at
    settings.CE_SANDBOX = "rlimit"
    assert sandboxing.sandbox_level().level == "rlimit"


@pytest.mark.parametrize("name", ["pyproject.toml", "package.json", "node_modules"])
def test_settings_of_tools_above_the_checkouts_are_named_where_no_sandbox_hides_them(settings, tmp_path, name):
    settings.CE_DATA_DIR, settings.CE_SANDBOX = tmp_path / "a" / "data", "rlimit"
    (tmp_path / name).mkdir() if name == "node_modules" else (tmp_path / name).touch()
    assert str(tmp_path / name) in sandboxing.settings_above()
    (tmp_path / "a" / "data" / "sandbox.json").write_text("")
    sandboxing.known_levels[tmp_path / "a" / "data" / "sandbox.json"] = replace(sandboxing.sandbox_level(), level="bwrap")
    assert sandboxing.settings_above() == ""
