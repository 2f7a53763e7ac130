from django.db import migrations

NAME = "secrets"


def switch_on(apps, schema_editor):
    for project in apps.get_model("batches", "Project").objects.all():
        if NAME not in project.standard_gates:
            project.standard_gates = [*project.standard_gates, NAME]
            project.save(update_fields=["standard_gates"])


def switch_off(apps, schema_editor):
    for project in apps.get_model("batches", "Project").objects.all():
        project.standard_gates = [name for name in project.standard_gates if name != NAME]
        project.save(update_fields=["standard_gates"])


class Migration(migrations.Migration):
    dependencies = [("batches", "0041_second_steps")]

    operations = [migrations.RunPython(switch_on, switch_off)]
