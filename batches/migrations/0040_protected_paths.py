from django.db import migrations, models

import subagents.protected_paths


class Migration(migrations.Migration):
    dependencies = [("batches", "0039_own_phase_limit")]

    operations = [
        migrations.AddField(
            model_name="project",
            name="protected_paths",
            field=models.TextField(
                blank=True,
                default=subagents.protected_paths.usual_patterns,
                help_text="Patterns, one per line. An undeclared change of such a file waits for a person.",
            ),
        ),
    ]
