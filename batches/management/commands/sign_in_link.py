"""`manage.py sign_in_link [USERNAME]`: print a one-time sign-in link, for example after a lost password."""

import os
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import CommandError, CommandParser

from batches.accounts import audit_log, second_steps
from batches.accounts.actor import Actor
from batches.accounts.sign_in_links import make_link
from batches.core.text.words import counted
from batches.management.commands.up import address
from batches.management.refusing_command import RefusingCommand
from ce_web import running

PORT = 8000  # of `manage.py up`, unless it is told another


class Command(RefusingCommand):
    help = "Print a link that signs a user in once, without a password."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", nargs="?", default="admin")
        parser.add_argument("--host", help="address that the web server listens on (default: where it runs now)")
        parser.add_argument("--port", type=int)
        parser.add_argument("--remove-second-steps", action="store_true", help="for someone who lost the app, passkeys and recovery codes")

    def handle(self, *args: Any, **options: Any) -> None:
        users = User.objects
        user = users.filter(username=options["username"]).first()
        if user is None:
            known = ", ".join(sorted(str(one.get_username()) for one in users.all()[:20])) or "none yet: run manage.py bootstrap"
            raise CommandError(f"There is no user {options['username']!r}. Users: {known}.")
        if not user.is_active:
            raise CommandError(f"The user {options['username']!r} is switched off and cannot sign in.")
        removed = second_steps.remove_all(user) if options["remove_second_steps"] else 0
        also = f"; removed {counted(removed, 'second step')}" if removed else ""
        audit_log.record(audit_log.Kind.USER, Actor.command("sign_in_link").cause, f"New sign-in link for {user.get_username()}{also}")
        self.stdout.write(make_link(user, self.site(options["host"], options["port"])))

    def site(self, host: str | None, port: int | None) -> str:
        """Where the link leads: as asked for, else CE_SITE_URL if that is set, else to the web server that runs."""
        server = running.running_server()
        if host is None and port is None:
            if "CE_SITE_URL" in os.environ:
                return f"{settings.CE_SITE_URL}/"
            if server is None:
                self.stderr.write(f"No web server runs on this data directory. The link is for port {PORT}; --port N makes it for another.")
        known = (server.host, server.port) if server is not None else ("127.0.0.1", PORT)
        return address(host or known[0], port or known[1])
