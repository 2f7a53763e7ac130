"""Hypothesis judges rules here, not the machine: a loaded one may take its time over an example."""

from hypothesis import HealthCheck, settings

settings.register_profile("core", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("core")
