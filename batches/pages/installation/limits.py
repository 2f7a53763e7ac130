"""The limits of this host, as they are set where CE Web is started."""

from django.conf import settings

from batches.core.text import words


def limits_of_host() -> list[tuple[str, str, str]]:
    """(limit, value, environment variable)."""

    def gigabytes(value: int) -> str:
        return f"{value // 2**30} GB" if value else "no limit"

    return [
        ("Parallel attempts on a host", str(settings.CE_SLOTS), "CE_SLOTS"),
        ("Time limit per phase", words.duration(settings.CE_PHASE_LIMIT_SECONDS), "CE_PHASE_LIMIT_SECONDS"),
        ("Silence limit", words.duration(settings.CE_SILENCE_SECONDS), "CE_SILENCE_SECONDS"),
        ("Memory per attempt", gigabytes(settings.CE_COMMAND_MEMORY_BYTES), "CE_COMMAND_MEMORY_GB"),
        ("Address space per command", gigabytes(settings.CE_COMMAND_ADDRESS_BYTES), "CE_COMMAND_ADDRESS_GB"),
        ("Largest file that a command writes", gigabytes(settings.CE_COMMAND_FILE_BYTES), "CE_COMMAND_FILE_GB"),
        ("Processes per attempt", str(settings.CE_COMMAND_PROCESSES or "no limit"), "CE_COMMAND_PROCESSES"),
    ]
