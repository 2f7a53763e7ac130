from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("batches", "0044_provider_identities"),
    ]

    operations = [
        migrations.AddField(
            model_name="verification",
            name="stopped_by",
            field=models.CharField(blank=True, help_text="Who asked for it to stop: person:NAME or command:NAME.", max_length=200),
        ),
    ]
