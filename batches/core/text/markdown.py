"""Untrusted text inside the documents that we write: always on its line, never markup of the document's."""


def inline(text: str) -> str:
    """`text` on one line, without raw HTML."""
    return " ".join(text.split()).replace("<", "&lt;")


def table_row(*cells: str) -> str:
    """A row of a table, whatever its cells hold."""
    return f"| {' | '.join(inline(cell).replace('|', chr(92) + '|') for cell in cells)} |"
