"""Refuse a release that nobody has approved. Exit code 0: approved, 1: not, and what to do about it."""

import sys
from pathlib import Path

APPROVAL = Path("RELEASE_APPROVAL")
WAY_OUT = """\
Nobody has approved this release: {reason}.
To approve it, commit your name on the main branch of the project's repository (not in this checkout):

    echo "Your Name" > RELEASE_APPROVAL
    git add RELEASE_APPROVAL
    git commit -m "Approve the release"

Then retry the phase: the retry starts from the newest commits of main."""


def main() -> int:
    if not APPROVAL.is_file():
        print(WAY_OUT.format(reason="there is no file RELEASE_APPROVAL"))
        return 1
    name = APPROVAL.read_text(encoding="utf-8").strip()
    if not name:
        print(WAY_OUT.format(reason="the file RELEASE_APPROVAL is empty"))
        return 1
    print(f"Approved by {name}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
