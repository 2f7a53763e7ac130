"""Where the files of CE Web and of an installation are: in a checkout, or where CE Web is installed as a package."""

import os
from pathlib import Path

PACKAGED = Path(__file__).resolve().parent / "files"  # what pyproject.toml puts into the wheel


def in_a_checkout(base: Path) -> bool:
    """Whether CE Web runs from a checkout whose top folder is `base`; a package has its files inside of `ce_web`."""
    return not PACKAGED.is_dir() and (base / "manage.py").is_file()


def find_files(base: Path) -> Path:
    """The folder of `templates`, `static` and `examples`."""
    return base if in_a_checkout(base) else PACKAGED


def default_data_dir(base: Path) -> Path:
    """Where an installation keeps its data without CE_DATA_DIR: `var` of the checkout, else in the user's home."""
    if in_a_checkout(base):
        return base / "var"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "ce-web"
