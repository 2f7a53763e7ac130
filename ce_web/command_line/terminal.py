"""What is printed: a terminal shows control characters and does not obey them, since agents wrote logs and diffs."""

import sys

import click

SHOWN = {code: chr(0x2400 + code) for code in range(32) if code not in (9, 10)}  # all but tab and line break
SHOWN |= {127: "\u2421"} | dict.fromkeys(range(128, 160), "\ufffd")


def visible(text: str) -> str:
    """The text with a sign in place of each control character, such as ␛ for what begins a command to the terminal."""
    return text.translate(SHOWN)


def say(text: str, *, nl: bool = True, err: bool = False) -> None:
    """Print a text, as it is to a file or pipe, made visible on a terminal."""
    stream = sys.stderr if err else sys.stdout
    click.echo(visible(text) if stream.isatty() else text, nl=nl, err=err)
