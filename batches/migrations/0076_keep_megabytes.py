import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("batches", "0075_listed_at")]

    operations = [
        migrations.AddField(
            model_name="project",
            name="keep_megabytes",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="Above so many megabytes of logs the oldest are removed. Empty: no limit.",
                null=True,
                validators=[django.core.validators.MinValueValidator(1)],
            ),
        ),
    ]
