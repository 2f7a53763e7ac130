"""Models take the field's names. Tables and columns keep theirs, so the database is not touched."""

import django.db.models.deletion
from django.db import migrations, models

RENAMED = (
    ("Chain", "AutopilotRun", "batches_chain", "autopilot run", "-pk"),
    ("GateTick", "SignOff", "batches_gatetick", "sign-off", "pk"),
    ("Landing", "BaseMerge", "batches_landing", "merge", "-pk"),
    ("Notice", "Notification", "batches_notice", "notification", "-pk"),
)
RELATED = (
    ("autopilotrun", "batch", "batches.batch", "autopilot_runs", ""),
    ("autopilotrun", "run", "batches.run", "autopilot_runs", ""),
    ("basemerge", "batch", "batches.batch", "base_merges", ""),
    ("notification", "run", "batches.run", "notifications", ""),
    ("signoff", "attempt", "batches.attempt", "sign_offs", "What was looked at; a later attempt has no tick."),
    ("signoff", "gate", "batches.gate", "sign_offs", ""),
)


class Migration(migrations.Migration):
    dependencies = [("batches", "0024_form_that_asked_for_a_batch")]

    # The table's name is settled first: then renaming the model has no table to rename.
    operations = [
        operation
        for old, new, table, word, order in RENAMED
        for operation in (
            migrations.AlterModelTable(old, table),
            migrations.RenameModel(old, new),
            migrations.AlterModelOptions(new, {"ordering": [order], "verbose_name": word}),
        )
    ] + [
        migrations.AlterField(
            model,
            name,
            models.ForeignKey(to=target, on_delete=django.db.models.deletion.CASCADE, related_name=related, help_text=help_text),
        )
        for model, name, target, related, help_text in RELATED
    ]
