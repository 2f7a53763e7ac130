"""What a project says of its environment, and the environment that was built, as values (project_environment.py builds it)."""

from __future__ import annotations

import fcntl
import marshal
import os

from subagents.environment import for_sandbox
from subagents.files import write_atomic
from subagents.folders import state_of
from subagents.record import record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from subagents.contract import TaskSpec
    from subagents.folders import State

READY, AS_BUILT = "ready.json", "as-built"  # the environment as a value; what its folder looked like once it was built
IN_USE = "in-use"  # locked by whoever uses the environment
NAMED = 5


@record
class EnvironmentSettings:
    """What a project says of its environment. `setup` is a shell script ("": nothing to build).

    `inputs` are globs of files that it depends on (none: INPUTS); `bring_along` paths of files that git ignores and that
    are copied from the user's folder; `path` entries before PATH, relative to the checkout; in `variables` "{environment}"
    stands for the environment's folder. `secrets` are (name, when it was changed) of those that the set-up is given: the
    values come another way (credentials.py). `network`: whether the set-up may use the network. `folder` is where the project's
    environments are kept.
    """

    folder: str
    setup: str = ""
    inputs: tuple[str, ...] = ()
    network: bool = True
    bring_along: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    secrets: tuple[tuple[str, str], ...] = ()

    @staticmethod
    def of(given: dict[str, Any]) -> EnvironmentSettings:
        """The settings in a task spec; {} gives those of a project that needs nothing."""
        return EnvironmentSettings(
            str(given.get("folder", "")),
            str(given.get("setup", "")),
            tuple(str(item) for item in given.get("inputs", ())),
            bool(given.get("network", True)),
            tuple(str(item) for item in given.get("bring_along", ())),
            tuple(str(item) for item in given.get("path", ())),
            tuple((str(name), str(value)) for name, value in for_sandbox(dict(given.get("variables", {}))).items()),
            tuple((str(name), str(at)) for name, at in dict(given.get("secrets", {})).items()),
        )

    @property
    def is_empty(self) -> bool:
        return not (self.setup or self.bring_along or self.path or self.variables)


@record
class ProjectEnvironment:
    """An environment that was built: its id, its folder, and what a checkout gets of it.

    `links` are paths in a checkout that lead into the environment; `path` are folders of programs, absolute;
    `python_path` are folders of the checkout, relative, that packages installed in place lead to.
    """

    id: str = ""
    folder: str = ""
    links: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    python_path: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()

    def put_into(self, checkout: str) -> None:
        """Link what was built into a checkout, where the commit has nothing of that name. Raises OSError."""
        for link in self.links:
            place = os.path.join(checkout, link)
            if not os.path.lexists(place) and os.path.isdir(os.path.dirname(place)):
                os.symlink(os.path.join(self.folder, "checkout", link), place)

    def hold(self) -> None:
        """Keep the environment from being removed as idle as long as this process lives. Raises OSError."""
        lock = os.open(os.path.join(self.folder, IN_USE), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_SH)
        os.utime(lock)

    def take_out_of(self, checkout: str) -> None:
        """Undo `put_into`; whatever else is at these paths stays. Raises OSError."""
        for link in self.links:
            place = os.path.join(checkout, link)
            if os.path.islink(place) and os.readlink(place) == os.path.join(self.folder, "checkout", link):
                os.unlink(place)

    def variables_for(self, checkout: str, path: str) -> dict[str, str]:
        """The environment variables for a command in `checkout`, where PATH was `path`."""
        found = {name: value.replace("{environment}", self.folder) for name, value in self.variables}
        if self.path:
            found["PATH"] = os.pathsep.join([*self.path, path])
        if self.python_path:
            own = [os.path.normpath(os.path.join(checkout, place)) for place in self.python_path]
            found["PYTHONPATH"] = os.pathsep.join([*own, *filter(None, [found.get("PYTHONPATH", "")])])
        return found

    def changed_since_built(self, level: str) -> str:
        """What somebody changed in the folder, by name; "" for nothing, and where the sandbox `level` lets no command change it.

        No change can be hidden from this: nobody can set the time that the file system keeps of it. Raises OSError.
        """
        if not self.folder or level == "bwrap":  # where it is mounted to be read; Landlock has no rule for rights and times
            return ""
        try:
            with open(os.path.join(self.folder, AS_BUILT), "rb") as file:
                expected = marshal.load(file)  # noqa: S302 -- a file of ours; bad bytes cannot run code
        except (OSError, ValueError, EOFError, TypeError):
            return AS_BUILT
        found = _state(self.folder)
        odd = sorted(path for path in {*found, *expected} if found.get(path) != expected.get(path))
        return ", ".join(odd[:NAMED]) + (f" and {len(odd) - NAMED} more" if len(odd) > NAMED else "")

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "folder": self.folder,
            "links": list(self.links),
            "path": list(self.path),
            "python_path": list(self.python_path),
            "variables": dict(self.variables),
        }

    @staticmethod
    def from_json(given: dict[str, Any]) -> ProjectEnvironment:
        """Raises KeyError, TypeError, ValueError for another shape."""
        lists = {name: tuple(str(item) for item in given[name]) for name in ("links", "path", "python_path")}
        variables = tuple((str(name), str(value)) for name, value in dict(given["variables"]).items())
        return ProjectEnvironment(str(given["id"]), str(given["folder"]), variables=variables, **lists)

    @staticmethod
    def of(spec: TaskSpec) -> ProjectEnvironment:
        """The environment that the commands of `spec` have; NOTHING before it was built, or when the project needs none."""
        built = spec.environment.get("built")
        return ProjectEnvironment.from_json(built) if isinstance(built, dict) else NOTHING

    def given_to(self, spec: TaskSpec) -> TaskSpec:
        """The spec whose commands have this environment."""
        return spec if self is NOTHING else replace(spec, environment={**spec.environment, "built": self.to_json()})


NOTHING = ProjectEnvironment()


def note_as_built(folder: str) -> None:
    """Note what the folder of an environment looks like, for `changed_since_built`. Raises OSError."""
    write_atomic(os.path.join(folder, AS_BUILT), marshal.dumps(_state(folder)), durable=False)


def _state(folder: str) -> State:
    return {path: seen for path, seen in state_of(folder).items() if path not in (READY, AS_BUILT, IN_USE)}
