"""Verifications of batches."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("batches", "0034_evidence"), migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.CreateModel(
            name="Verification",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("host", models.CharField(max_length=120)),
                (
                    "directory",
                    models.CharField(
                        blank=True, help_text="Folder of its process. Empty until it was started.", max_length=1000
                    ),
                ),
                ("spec", models.JSONField(blank=True, default=dict, help_text="What its process was told.")),
                ("cause", models.CharField(help_text="person:NAME or command:NAME.", max_length=200)),
                ("asked_at", models.DateTimeField()),
                (
                    "launched_clock",
                    models.FloatField(
                        blank=True, help_text="The host's monotonic clock at launch, in seconds.", null=True
                    ),
                ),
                ("progress", models.CharField(blank=True, max_length=500)),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                (
                    "agrees",
                    models.BooleanField(
                        help_text="Whether everything agreed. Unknown until it has ended, and when it failed.",
                        null=True,
                    ),
                ),
                ("problem", models.TextField(blank=True, help_text="Why it could not be carried out.")),
                (
                    "result",
                    models.JSONField(blank=True, help_text="The content of batches/batch-N.verify.json.", null=True),
                ),
                (
                    "asked_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "batch",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="verifications", to="batches.batch"
                    ),
                ),
            ],
            options={
                "ordering": ["-pk"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at__isnull", True)),
                        fields=("batch",),
                        name="one_open_verification_per_batch",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("ended_at__isnull", False), ("agrees__isnull", True), _connector="OR"),
                        name="verification_agrees_once_ended",
                    ),
                ],
            },
        ),
    ]
