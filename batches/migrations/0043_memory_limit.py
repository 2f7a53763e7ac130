from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('batches', '0042_secrets_gate'),
    ]

    # What it altered was the words of fields, which the earlier migrations have now.
    operations = []
