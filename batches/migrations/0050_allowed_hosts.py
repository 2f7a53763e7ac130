from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('batches', '0049_stop_cause'),
    ]

    operations = [
        migrations.AddField(
            model_name='project',
            name='allowed_hosts',
            field=models.TextField(blank=True, help_text='Hosts that commands with network access, agents and the set-up may reach, one per line. Empty: all.'),
        ),
    ]
