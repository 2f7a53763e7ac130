"""The Django application of plans, batches and their history."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class BatchesConfig(AppConfig):
    name = "batches"
    verbose_name = "CE Web"

    def ready(self) -> None:
        import os

        from django.conf import settings
        from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed

        from batches import checks  # noqa: F401  # importing registers the checks
        from batches.accounts import audit_log, back_off, sessions
        from batches.accounts.roles import make_groups
        from batches.metrics.facts import fill_missing
        from subagents import own_git

        own_git.keep_in(os.path.join(settings.CE_DATA_DIR, "git"))

        user_logged_in.connect(audit_log.signed_in, dispatch_uid="batches.accounts.audit_log")
        user_logged_out.connect(audit_log.signed_out, dispatch_uid="batches.accounts.audit_log")
        user_login_failed.connect(audit_log.sign_in_failed, dispatch_uid="batches.accounts.audit_log")
        user_logged_in.connect(sessions.signed_in, dispatch_uid="batches.accounts.sessions")
        user_logged_in.connect(back_off.signed_in, dispatch_uid="batches.accounts.back_off")

        post_migrate.connect(make_groups, sender=self, dispatch_uid="batches.make_groups")
        post_migrate.connect(fill_missing, sender=self, dispatch_uid="batches.fill_missing")
