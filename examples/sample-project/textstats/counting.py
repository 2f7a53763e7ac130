"""The plain counts: lines, words between white space, characters."""


def count_lines(text: str) -> int:
    """How many lines `text` has; a last line without an end counts, an empty text has none."""
    return text.count("\n") + (not text.endswith("\n") and text != "")


def count_words(text: str) -> int:
    """How many pieces `text` falls into at white space."""
    return len(text.split())


def count_characters(text: str, *, spaces: bool = True) -> int:
    """How many characters `text` has; without white space when `spaces` is False."""
    return len(text) if spaces else sum(not character.isspace() for character in text)
