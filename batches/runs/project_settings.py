"""Which settings of a project a run takes over: at its start, and what was changed there since at a retry."""

from django.conf import settings

from batches.models import Project, Run


def current_settings(project: Project) -> dict[str, float | str]:
    """{column of a run: the project's setting} of what a run takes over unless its options say otherwise."""
    return {
        "phase_limit_seconds": project.phase_limit_seconds,
        "silence_seconds": project.silence_seconds or settings.CE_SILENCE_SECONDS,
        "max_parallel": project.max_parallel,
        "retry_model": project.retry_model,
        "repairs": project.repairs,
    }


def changed_settings(run: Run, project: Project) -> dict[str, object]:
    """The columns of `run` that follow what a person has changed in the project since the run last looked: a raised limit reaches it."""
    now = current_settings(project)
    changed = {name: value for name, value in now.items() if run.project_settings.get(name, value) != value}
    return changed | {"project_settings": now}
