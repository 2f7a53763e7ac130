"""The dead man's switch of a worker host: attempts end themselves when it has not reached the database for too long.

Only then may the main host do their work again (worker_hosts.py).
"""

from contextlib import suppress
from pathlib import Path

from django.conf import settings


def lease_file() -> Path:
    """The file with the monotonic time at which this worker host's attempts end unless the lease is renewed before."""
    return Path(settings.CE_DATA_DIR) / "lease"


def renew_dead_man(clock: float) -> None:
    """Write down that the database was reached at `clock`."""
    draft = lease_file().with_suffix(".new")
    with suppress(OSError):  # the disk is full: they end, and the main host takes over
        draft.write_text(f"{clock + settings.CE_DEAD_MAN_SECONDS}\n")
        draft.replace(lease_file())
