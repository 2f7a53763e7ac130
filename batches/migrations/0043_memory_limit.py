from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('batches', '0042_secrets_gate'),
    ]

    operations = [
        migrations.AlterField(
            model_name='attempt',
            name='reason',
            field=models.CharField(blank=True, choices=[('timeout', 'timeout'), ('never_started', 'never started'), ('crashed', 'crashed'), ('bad_result', 'bad result'), ('gate_failed', 'gate failed'), ('merge_conflict', 'merge conflict'), ('agent_error', 'agent error'), ('rate_limited', 'rate limited'), ('budget', 'budget'), ('needs_agent', 'needs agent'), ('cancelled', 'cancelled'), ('phase_time_limit', 'phase time limit'), ('memory_limit', 'memory limit'), ('setup_failed', 'setup failed'), ('machine_fault', 'machine fault')], max_length=20),
        ),
        migrations.AlterField(
            model_name='attempt',
            name='stop_reason',
            field=models.CharField(blank=True, choices=[('timeout', 'timeout'), ('never_started', 'never started'), ('crashed', 'crashed'), ('bad_result', 'bad result'), ('gate_failed', 'gate failed'), ('merge_conflict', 'merge conflict'), ('agent_error', 'agent error'), ('rate_limited', 'rate limited'), ('budget', 'budget'), ('needs_agent', 'needs agent'), ('cancelled', 'cancelled'), ('phase_time_limit', 'phase time limit'), ('memory_limit', 'memory limit'), ('setup_failed', 'setup failed'), ('machine_fault', 'machine fault')], help_text='Why the engine stopped it.', max_length=20),
        ),
        migrations.AlterField(
            model_name='attemptfact',
            name='reason',
            field=models.CharField(blank=True, choices=[('timeout', 'timeout'), ('never_started', 'never started'), ('crashed', 'crashed'), ('bad_result', 'bad result'), ('gate_failed', 'gate failed'), ('merge_conflict', 'merge conflict'), ('agent_error', 'agent error'), ('rate_limited', 'rate limited'), ('budget', 'budget'), ('needs_agent', 'needs agent'), ('cancelled', 'cancelled'), ('phase_time_limit', 'phase time limit'), ('memory_limit', 'memory limit'), ('setup_failed', 'setup failed'), ('machine_fault', 'machine fault')], max_length=20),
        ),
        migrations.AlterField(
            model_name='run',
            name='stop_reason',
            field=models.CharField(blank=True, choices=[('timeout', 'timeout'), ('never_started', 'never started'), ('crashed', 'crashed'), ('bad_result', 'bad result'), ('gate_failed', 'gate failed'), ('merge_conflict', 'merge conflict'), ('agent_error', 'agent error'), ('rate_limited', 'rate limited'), ('budget', 'budget'), ('needs_agent', 'needs agent'), ('cancelled', 'cancelled'), ('phase_time_limit', 'phase time limit'), ('memory_limit', 'memory limit'), ('setup_failed', 'setup failed'), ('machine_fault', 'machine fault')], help_text='Why the engine stopped the run.', max_length=20),
        ),
        migrations.AlterField(
            model_name='task',
            name='reason',
            field=models.CharField(blank=True, choices=[('timeout', 'timeout'), ('never_started', 'never started'), ('crashed', 'crashed'), ('bad_result', 'bad result'), ('gate_failed', 'gate failed'), ('merge_conflict', 'merge conflict'), ('agent_error', 'agent error'), ('rate_limited', 'rate limited'), ('budget', 'budget'), ('needs_agent', 'needs agent'), ('cancelled', 'cancelled'), ('phase_time_limit', 'phase time limit'), ('memory_limit', 'memory limit'), ('setup_failed', 'setup failed'), ('machine_fault', 'machine fault')], max_length=20),
        ),
    ]
