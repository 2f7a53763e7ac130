"""The WSGI entry point."""

import os

from django.core.wsgi import get_wsgi_application

from ce_web.file_rights import keep_private

keep_private()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ce_web.settings")
application = get_wsgi_application()

# Asked once, as a worker starts, with programs: pages only read the answers, so that viewing starts nothing but our git.
from batches.engine.preflight import ask_at_start  # noqa: E402 (needs the settings of the application)
from ce_web.template_loader import load_pages  # noqa: E402

ask_at_start()
load_pages()
