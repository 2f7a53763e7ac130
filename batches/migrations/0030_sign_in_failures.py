from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("batches", "0029_token_scopes")]

    operations = [
        migrations.CreateModel(
            name="SignInFailure",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField(db_index=True)),
                ("name", models.CharField(help_text="A keyed hash of what was typed as the name.", max_length=32)),
                ("network", models.CharField(blank=True, max_length=45)),
                (
                    "device",
                    models.CharField(blank=True, help_text="The browser, if the person has signed in there before.", max_length=32),
                ),
            ],
        ),
    ]
