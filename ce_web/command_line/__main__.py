"""`python -m ce_web.command_line`: the command `ce` where it is not installed as a script."""

from ce_web.command_line.main import main

main()
