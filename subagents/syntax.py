"""Checks the syntax of files by parsing them, in its own process: `python -I syntax.py FILE …`; exit code 1 on faults."""

import json
import sys
import tomllib
import xml.parsers.expat
from collections.abc import Callable


def check(path: str) -> None:
    """Raises ValueError, SyntaxError or a parser's own error when the file does not parse."""
    with open(path, "rb") as file:
        data = file.read()
    if path.endswith((".py", ".pyi")):
        compile(data, path, "exec", dont_inherit=True)
    elif path.endswith(".json"):
        json.loads(data.decode("utf-8-sig"))
    elif path.endswith(".toml"):
        tomllib.loads(data.decode())
    elif path.endswith((".xml", ".svg")):
        xml.parsers.expat.ParserCreate().Parse(data, True)
    elif path.endswith((".yaml", ".yml")):
        parse = yaml_parser()
        if parse is None:
            raise ValueError("YAML cannot be checked: PyYAML is not installed where this runs")
        parse(data)


def yaml_parser() -> Callable[[bytes], object] | None:
    """A function that parses YAML without building objects; None without PyYAML."""
    try:
        import yaml
    except ImportError:
        return None
    return lambda data: list(yaml.parse(data))


def main(paths: list[str]) -> int:
    """Print what is wrong with each file that does not parse, and where; returns 1 when there is one."""
    faults = 0
    for path in paths:
        try:
            check(path)
        except Exception as error:  # noqa: BLE001 -- each parser has its own errors; any of them is a fault
            faults += 1
            said = f"{path}: {type(error).__name__}: {error}\n"
            sys.stdout.write(said.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))  # a name may be no UTF-8
    sys.stdout.write(f"{len(paths)} files parsed, {faults} with faults\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
