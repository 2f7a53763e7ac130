"""Tokens of the release before keep their rights through the upgrade, and those that had ended stay ended."""

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.installation import ROOT

pytestmark = pytest.mark.process
BEFORE = "0028_project_environment"  # tokens have no scope yet
TOKENS = {  # name: (text, expires_at, revoked_at)
    "stands": ("ce_stands", None, None),
    "to come": ("ce_to_come", "2999-01-01 00:00:00", None),
    "expired": ("ce_expired", "2026-01-01 00:00:00", None),
    "revoked": ("ce_revoked", None, "2026-01-01 00:00:00"),
}
ASK = """
import json
from django.test import Client
from batches.models import ApiToken
found = {{}}
for name, text in json.loads({texts!r}).items():
    token = ApiToken.objects.get(name=name)
    answer = Client().get("/api/projects/", headers={{"Authorization": "Bearer " + text, "Host": "localhost"}})
    found[name] = [token.scope, token.project_id, answer.status_code]
print(json.dumps(found))
"""


def manage(data: Path, *arguments: str) -> str:
    environment = {**os.environ, "CE_DATA_DIR": str(data), "DATABASE_URL": f"sqlite:///{data / 'db.sqlite3'}", "LOG_LEVEL": "CRITICAL"}
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments], env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_tokens_of_the_release_before_keep_their_rights_and_ended_ones_stay_ended(tmp_path):
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    manage(data, "migrate", "batches", BEFORE, "-v", "0", "--skip-checks")
    with sqlite3.connect(data / "db.sqlite3") as database:
        values = {"username": "ada", "password": "!", "is_superuser": 1, "is_staff": 1, "is_active": 1}
        values |= dict.fromkeys(("first_name", "last_name", "email"), "")
        values |= dict.fromkeys(("date_joined", "last_login"), "2026-01-01 00:00:00")
        places = ", ".join(["?"] * len(values))
        database.execute(f"INSERT INTO auth_user ({', '.join(values)}) VALUES ({places})", [*values.values()])
        for name, (text, expires, revoked) in TOKENS.items():
            database.execute(
                "INSERT INTO batches_apitoken (user_id, name, digest, ending, created_at, expires_at, revoked_at)"
                " VALUES (1, ?, ?, ?, '2025-12-01 00:00:00', ?, ?)",
                [name, hashlib.sha256(text.encode()).hexdigest(), text[-4:], expires, revoked],
            )
    database.close()
    manage(data, "migrate", "-v", "0")
    texts = json.dumps({name: text for name, (text, _, _) in TOKENS.items()})
    found = json.loads(manage(data, "shell", "--no-imports", "-c", ASK.format(texts=texts)).splitlines()[-1])
    assert found == {
        "stands": ["admin", None, 200],
        "to come": ["admin", None, 200],
        "expired": ["admin", None, 401],
        "revoked": ["admin", None, 401],
    }
