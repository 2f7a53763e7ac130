"""The settings as shipped, and the application by which processes die where they are told to."""

from ce_web.settings import *  # noqa: F403 -- all of them
from ce_web.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.chaos.dying"]
