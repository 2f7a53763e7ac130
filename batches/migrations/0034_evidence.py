"""What travels with the commits: the environment that each gate was judged with, and which commit carries the note of an attempt."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("batches", "0033_project_secrets")]

    operations = [
        migrations.AddField(
            model_name="attempt",
            name="note_commit",
            field=models.CharField(blank=True, help_text="The commit whose git note tells of its gates.", max_length=64),
        ),
        migrations.AddField(
            model_name="gatecheck",
            name="environment",
            field=models.CharField(
                blank=True, help_text="The id of the project's environment. Empty if it needed none.", max_length=64
            ),
        ),
    ]
