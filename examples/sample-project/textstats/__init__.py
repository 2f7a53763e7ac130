"""Small statistics over plain text."""

from textstats.counting import count_characters, count_lines, count_words

__all__ = ["count_characters", "count_lines", "count_words"]
