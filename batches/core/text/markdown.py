"""Untrusted text inside markdown documents that we write: it stays on one line and never becomes markup."""


def inline(text: str) -> str:
    """`text` on one line, without raw HTML."""
    return " ".join(text.split()).replace("<", "&lt;")


def table_row(*cells: str) -> str:
    """A row of a table; cells may hold any text."""
    return f"| {' | '.join(inline(cell).replace('|', chr(92) + '|') for cell in cells)} |"
