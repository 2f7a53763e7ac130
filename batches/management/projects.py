"""Find the project that a command is about."""

from django.core.management.base import CommandError

from batches.models import Project


def find_project(name: str | None) -> Project:
    """The project with this name or slug; without a name, the only project. Raises CommandError (exit code 2)."""
    projects = list(Project.objects.all())
    if name is None:
        if len(projects) == 1:
            return projects[0]
        known = ", ".join(project.slug for project in projects)
        raise CommandError(
            f"Choose a project: --project {known}" if known else "There is no project yet: add one in the browser.", returncode=2
        )
    for project in projects:
        if name in (project.name, project.slug):
            return project
    raise CommandError(f"There is no project {name!r}; there are: {', '.join(p.slug for p in projects) or 'none'}.", returncode=2)
