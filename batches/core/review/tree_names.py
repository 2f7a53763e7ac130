"""The names in a tree of files: what exists, and which existing path a path that does not exist looks like."""

from collections.abc import Iterable, Iterator
from functools import cached_property

FEWEST_LETTERS = 5  # of a name's stem: shorter names differ by one letter without being misspelt


class TreeNames:
    """The files of a tree, by their paths, and the folders above them."""

    def __init__(self, files: Iterable[str]) -> None:
        self.files = frozenset(files)
        self._alike: dict[str, dict[str, list[str]]] = {}

    @cached_property
    def _children(self) -> dict[str, set[str]]:
        """{folder: the names in it}; "" is the top."""
        found: dict[str, set[str]] = {"": set()}
        for path in self.files:
            folder, _, name = path.rpartition("/")
            while name not in (names := found.setdefault(folder, set())):
                names.add(name)
                if not folder:
                    break
                folder, _, name = folder.rpartition("/")
        return found

    def has(self, path: str) -> bool:
        """Whether there is a file or a folder of this path."""
        plain = path.rstrip("/")
        return plain in self.files or plain in self._children

    def has_folder(self, path: str) -> bool:
        return path.rstrip("/") in self._children

    def like(self, typed: str, limit: int) -> list[str]:
        """Files and folders (with a slash) that begin as `typed`, then those that contain it; at most `limit`."""
        above, _, start = typed.rpartition("/")
        begin, low = f"{above}/" if above else "", start.lower()
        children = self._children.get(above, set())
        found = [f"{begin}{name}{'/' * self.has_folder(begin + name)}" for name in sorted(children) if name.lower().startswith(low)]
        if len(found) < limit and len(typed) > 1:
            low = typed.lower()
            found += [path for path in self._sorted if low in (path if "/" in low else path.rpartition("/")[2]).lower()]
        return [path for path in dict.fromkeys(found) if path != typed][:limit]

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted(self.files)

    def looks_like(self, path: str) -> str:
        """The existing path that `path` is by one slip of the keyboard in one or more of its names; "" for none.

        A slip is another case, or a letter too many, missing, wrong or exchanged with the next one. Digits are no slip: names are numbered.
        """
        plain, above = path.rstrip("/"), ""
        if self.has(path):
            return ""
        for name in plain.split("/"):
            names = self._children.get(above, set())
            chosen = name if name in names else self._slip(above, name)
            if not chosen:
                return ""
            above = f"{above}/{chosen}" if above else chosen
        return above + "/" if path.endswith("/") and self.has_folder(above) else above

    def _slip(self, folder: str, name: str) -> str:
        """The one name in `folder` that `name` is a slip of; "" for none, or for several."""
        if folder not in self._alike:
            index: dict[str, list[str]] = {}
            for other in self._children.get(folder, ()):
                for shape in set(_shapes(other)):
                    index.setdefault(shape, []).append(other)
            self._alike[folder] = index
        index = self._alike[folder]
        near = {other for shape in _shapes(name) for other in index.get(shape, ()) if is_slip(name, other)}
        return near.pop() if len(near) == 1 else ""


def _shapes(name: str) -> Iterator[str]:
    """The name in lower case, and without one of its letters: names one slip apart share one of these."""
    low = name.lower()
    yield low
    for at in range(len(low)):
        yield low[:at] + low[at + 1 :]


def is_slip(name: str, other: str) -> bool:
    """Whether one name is the other by one slip of the keyboard, and is long enough for that to say something."""
    one, two = name.lower(), other.lower()
    if one == two:
        return name != other
    if min(len(name.partition(".")[0]), len(other.partition(".")[0])) < FEWEST_LETTERS:
        return False
    start = next((at for at, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
    a, b = one[start:], two[start:]
    end = next((at for at, (x, y) in enumerate(zip(reversed(a), reversed(b), strict=False)) if x != y), min(len(a), len(b)))
    a, b = a[: len(a) - end], b[: len(b) - end]
    if any(letter.isdigit() for letter in a + b):
        return False
    return (len(a) <= 1 and len(b) <= 1) or (len(a) == len(b) == 2 and a == b[::-1])
