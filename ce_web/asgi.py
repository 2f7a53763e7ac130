"""The ASGI entry point."""

import os

from django.core.asgi import get_asgi_application

from ce_web.file_rights import keep_private

keep_private()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ce_web.settings")
application = get_asgi_application()
