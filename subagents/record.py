"""`@record`: like `@dataclass(frozen=True, slots=True)`, without importing dataclasses.

Each attempt imports these classes in its own process. Importing dataclasses alone takes about 13 ms, more than starting Python,
because it imports inspect, ast and dis. Records are compared, hashed, copied and pickled by their fields; `replace` makes a
changed copy. docs/decisions/lean-attempt.md has the figures.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing itself costs 10 ms; checkers know this name
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar, dataclass_transform

    Class = TypeVar("Class", bound=type)
    Item = TypeVar("Item")

    @dataclass_transform(frozen_default=True)
    def record(cls: Class) -> Class:
        """Make `cls` a frozen, slotted value class of its annotated fields."""
        return cls

else:

    def record(cls: type) -> type:
        """Make `cls` a frozen, slotted value class of its annotated fields."""
        names = tuple(cls.__annotations__)
        defaults = {name: cls.__dict__[name] for name in names if name in cls.__dict__}
        dropped = {"__dict__", "__weakref__", *defaults}
        body = {name: value for name, value in cls.__dict__.items() if name not in dropped}
        body.update(__slots__=names, __match_args__=names, __init__=_init(cls.__name__, names, defaults))
        body.update(_defaults=defaults, __setattr__=_refuse, __delattr__=_refuse, __repr__=_repr, __eq__=_eq, __hash__=_hash)
        body.update(__reduce__=lambda self: (type(self), _values(self)))
        return type(cls)(cls.__name__, cls.__bases__, body)


def replace(item: Item, **changes: Any) -> Item:
    """A copy of the record `item` with some fields changed."""
    fields = {name: changes.pop(name, getattr(item, name)) for name in item.__slots__}  # type: ignore[attr-defined]  # records have slots
    return type(item)(**fields, **changes)


def defaults_of(kind: type) -> dict[str, Any]:
    """The default values of a record class by field; a field without one is not in it."""
    defaults: dict[str, Any] = kind._defaults  # type: ignore[attr-defined]  # set by @record
    return defaults


def _values(item: Any) -> tuple[Any, ...]:
    return tuple(getattr(item, name) for name in item.__slots__)


def _init(kind: str, names: tuple[str, ...], defaults: dict[str, Any]) -> Callable[..., None]:
    put = object.__setattr__

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        if len(args) > len(names):
            raise TypeError(f"{kind} takes {len(names)} values, got {len(args)}")
        for name, value in zip(names, args, strict=False):
            put(self, name, value)
        for name in names[len(args) :]:
            if name in kwargs:
                put(self, name, kwargs.pop(name))
            elif name in defaults:
                put(self, name, defaults[name])
            else:
                raise TypeError(f"{kind} needs {name}")
        if kwargs:
            raise TypeError(f"{kind} has no {', '.join(kwargs)} to set")

    return __init__


def _refuse(self: Any, name: str, value: object = None) -> None:
    raise AttributeError(f"{type(self).__name__} is frozen: {name} cannot be set")


def _repr(self: Any) -> str:
    return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self.__slots__)})"


def _eq(self: Any, other: object) -> Any:
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))
