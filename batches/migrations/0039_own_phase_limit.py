import django.core.validators
from django.db import migrations, models

USUAL = 60  # what meant "the installation's" before this could be said


def forget_usual(apps, schema_editor):
    apps.get_model("batches", "Project").objects.filter(phase_limit_minutes=USUAL).update(phase_limit_minutes=None)


def write_usual(apps, schema_editor):
    apps.get_model("batches", "Project").objects.filter(phase_limit_minutes=None).update(phase_limit_minutes=USUAL)


class Migration(migrations.Migration):
    dependencies = [("batches", "0038_successes_of_attempts")]

    operations = [
        migrations.AlterField(
            model_name="project",
            name="phase_limit_minutes",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="Empty: the setting of the installation.",
                null=True,
                validators=[django.core.validators.MinValueValidator(1)],
            ),
        ),
        migrations.RunPython(forget_usual, write_usual),
    ]
