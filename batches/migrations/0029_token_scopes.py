import django.db.models.deletion
from django.db import migrations, models

SCOPES = [
    ("read", "read"),
    ("plan", "read, and write plans"),
    ("execute", "also execute, which runs code"),
    ("admin", "whatever you may do"),
]


class Migration(migrations.Migration):
    """Tokens from before keep the rights that they had: all of their person's."""

    dependencies = [("batches", "0028_project_environment")]

    operations = [
        migrations.AddField("apitoken", "scope", models.CharField(choices=SCOPES, default="admin", max_length=7)),
        migrations.AlterField("apitoken", "scope", models.CharField(choices=SCOPES, default="read", max_length=7)),
        migrations.AddField(
            "apitoken",
            "project",
            models.ForeignKey(
                blank=True,
                help_text="The only project it is for. Empty: all.",
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="batches.project",
            ),
        ),
    ]
