"""Settings come from the environment; each wrong value stops start-up with its name and what was expected."""

import os
import stat
import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured

from ce_web import env
from ce_web.file_rights import close_database, close_directory
from tests.installation import ROOT
from tests.patience import PATIENCE


def start_with(tmp_path, **values: str) -> subprocess.CompletedProcess[str]:
    """`manage.py check` in a process of its own, with exactly these settings."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "check"],
        env={**environment, "CE_DATA_DIR": str(tmp_path / "data"), **values},
        capture_output=True,
        text=True,
        timeout=60 * PATIENCE,
    )


@pytest.mark.process
@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("DEBUG", "maybe", "expected 1 or 0"),
        ("CE_HTTPS", "2", "expected 1 or 0"),
        ("SECRET_KEY", "short", "at least 32 characters"),
        ("CE_SLOTS", "0", "expected a number from 1 to 256"),
        ("CE_SLOTS", "many", "expected a number"),
        ("CE_CRASH_RESTARTS", "-1", "expected a number from 0"),
        ("CE_SILENCE_SECONDS", "nan", "expected a number"),
        ("CE_HEARTBEAT_SECONDS", "0", "expected a number"),
        ("CE_SLICE_SECONDS", "3600", "to 20"),
        ("CE_UPLOAD_BYTES", "1e6", "expected a number"),
        ("DATABASE_URL", "mysql://somewhere/ce", "expected sqlite:///PATH or postgresql://"),
        ("DATABASE_URL", "nonsense", "expected sqlite:///PATH or postgresql://"),
        ("DATABASE_URL", "postgresql://localhost", "expected sqlite:///PATH or postgresql://"),
        ("CE_DATA_DIR", "/proc/nowhere", "expected a directory"),
        ("CE_HOST", "a/b", "letters, digits"),
        ("CE_OIDC_ISSUER", "http://sso.example.org", "expected https://HOST"),
        ("ANTHROPIC_BASE_URL", "http://192.168.1.5:4000", "CE_API_HTTP=1 allows it to private addresses"),
        ("CE_OIDC_ISSUER", "https://sso.example.org", "CE_OIDC_CLIENT_ID: expected"),
        ("CE_OIDC_ROLES", "bosses=emperor", "expected GROUP=ROLE"),
        ("CE_TWO_STEP", "maybe", "expected one of optional"),
        ("TIME_ZONE", "Mars/Olympus", "expected a time zone"),
        ("LOG_LEVEL", "LOUD", "expected one of DEBUG"),
    ],
)
def test_bad_setting_stops_start_up_with_its_name_and_the_reason(tmp_path, name, value, expected):
    done = start_with(tmp_path, **{name: value})
    assert done.returncode != 0
    assert name in done.stderr and expected in done.stderr


@pytest.mark.process
def test_password_of_a_bad_database_address_is_not_shown(tmp_path):
    done = start_with(tmp_path, DATABASE_URL="mysql://ce:hunter2@somewhere/ce")
    assert done.returncode != 0
    assert "hunter2" not in done.stdout + done.stderr


@pytest.mark.process
def test_nothing_set_at_all_is_a_good_start(tmp_path):
    done = start_with(tmp_path)
    assert done.returncode == 0, done.stderr


def test_secret_key_is_made_once_for_its_owner_alone(tmp_path, monkeypatch):
    monkeypatch.delenv("SECRET_KEY", raising=False)
    path = tmp_path / "data" / "secret_key"
    key = env.secret_key(path)
    assert len(key) >= 50 and env.secret_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["secret_key"]


def test_secret_key_that_others_may_read_is_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("SECRET_KEY", raising=False)
    path = tmp_path / "secret_key"
    env.secret_key(path)
    path.chmod(0o644)
    with pytest.raises(ImproperlyConfigured, match="chmod 600"):
        env.secret_key(path)


def test_secret_key_of_the_environment_wins_and_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "k" * 40)
    assert env.secret_key(tmp_path / "secret_key") == "k" * 40
    assert not (tmp_path / "secret_key").exists()


@pytest.mark.parametrize(("word", "meaning"), [("1", True), ("Yes", True), (" on ", True), ("0", False), ("no", False)])
def test_yes_and_no_are_read_in_their_usual_spellings(monkeypatch, word, meaning):
    monkeypatch.setenv("CE_TEST_WORD", word)
    assert env.env_bool("CE_TEST_WORD", not meaning) is meaning


def test_a_variable_set_to_nothing_counts_as_not_set(monkeypatch):
    monkeypatch.setenv("CE_TEST_EMPTY", " ")
    assert env.env_bool("CE_TEST_EMPTY", True) is True
    assert env.env_int("CE_TEST_EMPTY", 7, minimum=1, maximum=9) == 7
    assert env.env_str("CE_TEST_EMPTY", "default") == "default"


def test_list_drops_empty_items(monkeypatch):
    monkeypatch.setenv("CE_TEST_LIST", " a, ,b,")
    assert env.env_list("CE_TEST_LIST", "") == ["a", "b"]


def test_choice_outside_the_list_is_refused(monkeypatch):
    monkeypatch.setenv("CE_TEST_CHOICE", "c")
    with pytest.raises(ImproperlyConfigured, match="one of a, b"):
        env.env_str("CE_TEST_CHOICE", "a", choices=("a", "b"))


def modes(folder) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.lstat().st_mode) for path in (folder, *folder.iterdir())}


def test_a_data_directory_of_the_version_before_is_closed_to_others_and_said_once(tmp_path):
    data, elsewhere = tmp_path / "var", tmp_path / "other.sqlite3"
    data.mkdir(mode=0o755)
    for path, mode in ((data / "db.sqlite3", 0o644), (data / "db.sqlite3-wal", 0o664), (elsewhere, 0o644)):
        path.touch()
        path.chmod(mode)
    (data / "cache").mkdir(mode=0o755)
    data.chmod(0o755)
    said = close_directory(data)
    assert str(data) in said and "mode 755" in said and "db.sqlite3-wal" in said
    assert modes(data) == {"var": 0o700, "db.sqlite3": 0o600, "db.sqlite3-wal": 0o600, "cache": 0o700}
    assert close_directory(data) == ""
    sqlite = {"ENGINE": "django.db.backends.sqlite3", "NAME": elsewhere}
    assert "other.sqlite3" in close_database(sqlite) and stat.S_IMODE(elsewhere.stat().st_mode) == 0o600
    assert close_database(sqlite) == close_database({"ENGINE": "django.db.backends.postgresql", "NAME": "ce"}) == ""


def test_a_folder_with_other_things_or_of_somebody_else_is_refused_with_the_command_and_left_as_it_is(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    (home / "letters").touch()
    home.chmod(0o755)
    with pytest.raises(ImproperlyConfigured, match=f"chmod go= {home}"):
        close_directory(home)
    (home / "secret_key").touch()
    home.chmod(0o1777)
    with pytest.raises(ImproperlyConfigured, match=r"folder of its own$"):
        close_directory(home)
    monkeypatch.setattr(os, "geteuid", lambda: home.stat().st_uid + 1)
    with pytest.raises(ImproperlyConfigured, match="chown -R"):
        close_directory(home)
    assert modes(home)["home"] == 0o1777


def test_plain_http_to_the_api_is_for_private_addresses_and_only_when_it_is_allowed(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://192.168.1.5:4000/")
    assert env.env_url("ANTHROPIC_BASE_URL", "", near=True) == "http://192.168.1.5:4000"
    for address in ("http://8.8.8.8", "http://gateway.example.org"):
        monkeypatch.setenv("ANTHROPIC_BASE_URL", address)
        with pytest.raises(ImproperlyConfigured, match="expected https://HOST"):
            env.env_url("ANTHROPIC_BASE_URL", "", near=True)
