"""Hypothesis judges rules here, not the machine: a loaded one may take its time over an example.

Where nothing may be skipped the examples are always the same, so that a change is judged by what it changes; everywhere else they are new.
"""

import os

from hypothesis import HealthCheck, settings

settings.register_profile("core", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CE_NO_SKIPS" in os.environ)
settings.load_profile("core")
