"""The application that holds plans, batches and everything that happens to them."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class BatchesConfig(AppConfig):
    name = "batches"
    verbose_name = "CE Web"

    def ready(self) -> None:
        from axes.signals import user_locked_out
        from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed

        from batches import audit, checks  # noqa: F401  # importing registers the checks
        from batches.facts import fill_missing
        from batches.roles import make_groups

        user_logged_in.connect(audit.signed_in, dispatch_uid="batches.audit")
        user_logged_out.connect(audit.signed_out, dispatch_uid="batches.audit")
        user_login_failed.connect(audit.sign_in_failed, dispatch_uid="batches.audit")
        user_locked_out.connect(audit.locked_out, dispatch_uid="batches.audit")

        post_migrate.connect(make_groups, sender=self, dispatch_uid="batches.make_groups")
        post_migrate.connect(fill_missing, sender=self, dispatch_uid="batches.fill_missing")
