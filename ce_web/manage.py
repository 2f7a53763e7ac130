"""Django's command line for CE Web: what `manage.py` runs, also where CE Web is installed as a package."""

import gc
import importlib
import os
import sys

OBJECTS_PER_COLLECTION = 50_000  # hardly anything that is imported is ever garbage: with 700 it is a tenth of a start
PLAN_READERS = ("analyze", "validate")  # they read files and need no installation: its start would take longer than they do

COMPARED = ("--proj", "--rep")  # those two that compare a plan with a repository need the installation all the same


def main() -> None:
    gc.set_threshold(OBJECTS_PER_COLLECTION)
    try:
        if len(sys.argv) > 1 and sys.argv[1] in PLAN_READERS and not any(argument.startswith(COMPARED) for argument in sys.argv):
            importlib.import_module(f"batches.management.commands.{sys.argv[1]}").Command().run_from_argv(sys.argv)
            return
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ce_web.settings")
        from django.core.management import execute_from_command_line

        from ce_web.file_rights import keep_private
    except ImportError as missing:
        raise SystemExit(f"{missing}. Run `make run` once, or install requirements.txt into this environment.") from missing
    keep_private()
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
