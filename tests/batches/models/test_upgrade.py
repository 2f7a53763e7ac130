"""A database and a repository of the first release: after the upgrade everything is there, and the work goes on.

`first_release/` holds what its own code left, 0.1.0, of a batch whose second phase failed: rows.json has the rows of the tables,
repository.bundle the repository. {data} stands for the data directory.
"""

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from tests.installation import Installation

pytestmark = pytest.mark.process
KEPT = Path(__file__).parent / "first_release"
FIRST = "0024_form_that_asked_for_a_batch"
TOKENS = {  # name: (text, expires_at, revoked_at)
    "stands": ("ce_stands", None, None),
    "to come": ("ce_to_come", "2999-01-01T00:00:00Z", None),
    "expired": ("ce_expired", "2026-01-01T00:00:00Z", None),
    "revoked": ("ce_revoked", None, "2026-01-01T00:00:00Z"),
}
FILL = """
import json
from django.core.management import call_command
from django.core.management.color import no_style
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor
for app in (("batches", {first!r}), ("auth",)):
    call_command("migrate", *app, verbosity=0, skip_checks=True)
apps = MigrationExecutor(connection).loader.project_state(("batches", {first!r})).apps
with transaction.atomic():
    for label, rows in json.loads(open({rows!r}).read().replace("{{data}}", {data!r})).items():
        model = apps.get_model(label)
        model.objects.bulk_create(model(**row) for row in rows)
        for statement in connection.ops.sequence_reset_sql(no_style(), [model]):
            connection.cursor().execute(statement)
"""
ASK = """
import json
from django.contrib.auth.models import User
from django.test import Client
from batches.models import ApiToken, Batch
found = {{"pages": {{}}, "tokens": {{}}}}
client = Client(headers={{"host": "localhost"}})
client.force_login(User.objects.get())
of_batch = [f"/batches/1/{{part}}" for part in ("", "gates/", "changes/", "phases/2/")]
others = [f"/plans/{{Batch.objects.get().plan_id}}/", "/projects/sample-text-statistics/", "/batches/", "/metrics/", "/audit/"]
for path in (*of_batch, *others):
    found["pages"][path] = client.get(path).status_code
for name, text in json.loads({texts!r}).items():
    token = ApiToken.objects.get(name=name)
    answer = Client().get("/api/v1/batches/1/", headers={{"Authorization": "Bearer " + text, "Host": "localhost"}})
    found["tokens"][name] = [token.scope, token.project_id, answer.status_code]
print(json.dumps(found))
"""


def test_what_the_first_release_left_is_there_after_the_upgrade_and_goes_on(tmp_path: Path) -> None:
    site = Installation(tmp_path / "installation", empty=True, CE_HOST="first", CE_SANDBOX="rlimit")
    try:
        site.data.chmod(0o700)
        git = ["git", "-C", str(site.repository), "-c", "user.name=A Person", "-c", "user.email=person@localhost"]
        subprocess.run(["git", "clone", "-q", "-b", "main", str(KEPT / "repository.bundle"), str(site.repository)], check=True)
        ours = ("refs/ce/*:refs/ce/*", "refs/heads/ce/*:refs/heads/ce/*")
        subprocess.run([*git, "fetch", "-q", str(KEPT / "repository.bundle"), *ours], check=True)
        rows = json.loads((KEPT / "rows.json").read_text())
        rows["batches.ApiToken"] = [
            {"id": place, "user_id": rows["auth.User"][0]["id"], "name": name, "digest": hashlib.sha256(text.encode()).hexdigest()}
            | {"ending": text[-4:], "created_at": "2025-12-01T00:00:00Z", "expires_at": expires, "revoked_at": revoked}
            for place, (name, (text, expires, revoked)) in enumerate(TOKENS.items(), start=1)
        ]
        filled = tmp_path / "rows.json"
        filled.write_text(json.dumps(rows))
        site.manage("shell", "--no-imports", "-c", FILL.format(first=FIRST, rows=str(filled), data=str(site.data)), timeout=600)

        site.manage("bootstrap", "--port", str(site.port), "--no-sample", timeout=600)  # as `make run` does after an upgrade

        texts = json.dumps({name: text for name, (text, _, _) in TOKENS.items()})
        found = json.loads(site.shell(ASK.format(texts=texts)).splitlines()[-1])
        assert not {path for path, status in found["pages"].items() if status != 200}
        assert found["tokens"] == {
            "stands": ["admin", None, 200],
            "to come": ["admin", None, 200],
            "expired": ["admin", None, 401],
            "revoked": ["admin", None, 401],
        }
        told = site.manage("batch_status", "--batch", "1").stdout
        assert "Phase 1: Make a file" in told and "test -f nothing" in told

        (site.repository / "nothing").write_text("what the gate asks for\n")
        subprocess.run([*git, "add", "nothing"], check=True)
        subprocess.run([*git, "commit", "-q", "-m", "What the gate asks for"], check=True)
        site.manage("batch_exe_prp", "--batch", "1", "--retry-phase", "2")
        merged = subprocess.run([*git, "ls-tree", "--name-only", "ce/batch-1"], check=True, capture_output=True, text=True).stdout.split()
        assert {"one.txt", "two.txt"} <= set(merged)
        phases = "Attempt.objects.filter(task__run__operation='execute', task__kind='phase').order_by('pk')"
        words = f"*map('-'.join, {phases}.values_list('task__phase__key', 'outcome'))"
        ended = site.shell(f"from batches.models import Attempt; print({words})")
        assert ended == "1-succeeded 2-failed 2-succeeded", "phase 1 is not done again"
        assert site.shell("from batches.models import RunFact; print(RunFact.objects.count())") == "2"
    finally:
        site.remove()
