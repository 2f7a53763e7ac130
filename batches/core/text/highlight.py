"""Syntax highlighting: style names for the parts of a source text, by Pygments."""

from collections.abc import Sequence

from pygments.lexer import Lexer
from pygments.lexers import find_lexer_class
from pygments.token import Token, _TokenType

# Languages by file extension; only lexers that are fast on any text.
LANGUAGES = {
    "py": "Python", "pyi": "Python", "js": "JavaScript", "mjs": "JavaScript", "cjs": "JavaScript", "ts": "TypeScript", "tsx": "TypeScript",
    "jsx": "JavaScript", "json": "JSON", "yaml": "YAML", "yml": "YAML", "toml": "TOML", "ini": "INI", "cfg": "INI", "css": "CSS",
    "html": "HTML", "xml": "XML", "sh": "Bash", "bash": "Bash", "sql": "SQL", "c": "C", "h": "C", "cpp": "C++", "cc": "C++", "hpp": "C++",
    "go": "Go", "rs": "Rust", "java": "Java", "kt": "Kotlin", "rb": "Ruby", "php": "PHP", "swift": "Swift", "cs": "C#", "lua": "Lua",
}  # fmt: skip
CHARACTERS = 200_000  # longer texts stay plain
LINE_CHARACTERS = 1_000  # a text with a longer line (data, minified code) stays plain
_NAMES = (
    (Token.Comment, "s-comment"),
    (Token.Keyword.Constant, "s-number"),
    (Token.Keyword, "s-keyword"),
    (Token.Operator.Word, "s-keyword"),
    (Token.Literal.String, "s-string"),
    (Token.Literal.Number, "s-number"),
    (Token.Name.Function, "s-name"),
    (Token.Name.Class, "s-name"),
    (Token.Name.Decorator, "s-name"),
    (Token.Name.Tag, "s-keyword"),
    (Token.Name.Attribute, "s-name"),
)
_known: dict[str, Lexer | None] = {}


def style_lines(name: str, lines: Sequence[str]) -> list[list[tuple[int, int, str]]] | None:
    """For each line the (start, end, style) of its parts, as code of the file `name`; None for plain text."""
    lexer = _lexer(name.rpartition(".")[2].lower())
    if lexer is None or sum(map(len, lines)) > CHARACTERS or max(map(len, lines), default=0) > LINE_CHARACTERS:
        return None
    styles: list[list[tuple[int, int, str]]] = [[] for _ in lines]
    row = column = 0
    for _place, kind, value in lexer.get_tokens_unprocessed("\n".join(line.replace("\r", " ") for line in lines)):
        style = _style(kind)
        for number, piece in enumerate(value.split("\n")):
            if number:
                row, column = row + 1, 0
            if style and piece and row < len(styles):
                styles[row].append((column, column + len(piece), style))
            column += len(piece)
    return styles


def _style(kind: _TokenType) -> str:
    return next((name for parent, name in _NAMES if kind[: len(parent)] == parent), "")


def _lexer(ending: str) -> Lexer | None:
    if ending not in LANGUAGES:
        return None
    if ending not in _known:
        lexer_class = find_lexer_class(LANGUAGES[ending])
        _known[ending] = lexer_class(stripnl=False, ensurenl=False) if lexer_class else None
    return _known[ending]
