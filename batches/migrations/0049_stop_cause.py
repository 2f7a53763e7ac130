from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("batches", "0048_idea_asked_by")]

    operations = [
        migrations.AddField(
            model_name="attempt",
            name="stop_cause",
            field=models.CharField(blank=True, help_text="Who asked to stop this attempt alone; empty if nobody did.", max_length=200),
        ),
    ]
