"""What a setting takes, in words: "a whole number from 2 to 20", from its type and bounds."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

_Bounds = dict[str, float]
_BOUNDS = ("ge", "gt", "le", "lt", "min_length")
_PLAIN = {bool: "true or false", int: "a whole number", float: "a number", str: "text between quotes"}
_MANY = {bool: "of true and false", int: "whole numbers", float: "numbers", str: "texts, each between quotes"}


@dataclass(frozen=True)
class ByKind:
    """Marks the type of a table whose other keys depend on its `kind`.

    Parameters
    ----------
    kinds : every kind that there is
    table : the model of a kind; None where there is none, or where it cannot be known
    """

    kinds: Callable[[], Iterable[str]]
    table: Callable[[str], type[BaseModel] | None]

    @classmethod
    def of(cls, annotation: Any) -> ByKind | None:
        """The mark of a type; None where it has none."""
        return next((one for one in getattr(annotation, "__metadata__", ()) if isinstance(one, cls)), None)


def allowed(field: FieldInfo) -> str:
    """What a field takes, with its bounds, or with an example where the field has one."""
    words = words_of(field.annotation, field.metadata)
    return f"{words}, such as {as_toml(field.examples[0])}" if field.examples else words


def words_of(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    """What a type takes; `metadata` holds its bounds."""
    annotation, bounds = _opened(annotation, metadata)
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return one_of(args)
    if origin is tuple:
        return _list(args, bounds)
    if annotation in (int, float):
        return _PLAIN[annotation] + _between(bounds)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "a table"
    return _PLAIN.get(annotation, _PLAIN[str])


def element(annotation: Any, number: int) -> Any:
    """The type of an element of a list; None where the type is no list or has no such element."""
    annotation, _ = _opened(annotation, ())
    args = get_args(annotation)
    if get_origin(annotation) is not tuple:
        return None
    if args[-1] is Ellipsis:
        return args[0]
    return args[number] if number < len(args) else None


def is_number(annotation: Any) -> bool:
    """True for the type of a number, or of a list of numbers."""
    inner, _ = _opened(annotation, ())
    inner, _ = _opened(element(inner, 0) or inner, ())
    return inner in (int, float)


def one_of(choices: Iterable[object]) -> str:
    """``"a", "b" or "c"``."""
    words = [as_toml(choice) for choice in choices]
    return " or ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)


def as_toml(value: object) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return "[" + ", ".join(as_toml(v) for v in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _opened(annotation: Any, metadata: Iterable[Any]) -> tuple[Any, _Bounds]:
    """The type inside ``Annotated`` and ``X | None``, and all bounds on the way to it."""
    found = list(metadata)
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *more = get_args(annotation)
            found += more
        elif get_origin(annotation) in (Union, types.UnionType) and type(None) in get_args(annotation):
            annotation = next(one for one in get_args(annotation) if one is not type(None))
        else:
            break
    flat = [inner for one in found for inner in (one.metadata if isinstance(one, FieldInfo) else [one])]
    return annotation, {name: value for one in flat for name in _BOUNDS if (value := getattr(one, name, None)) is not None}


def _between(bounds: _Bounds) -> str:
    if "ge" in bounds and "le" in bounds:
        return f" from {bounds['ge']} to {bounds['le']}"
    least = f"from {bounds['ge']} on" if "ge" in bounds else f"above {bounds['gt']}" if "gt" in bounds else ""
    most = f"at most {bounds['le']}" if "le" in bounds else f"below {bounds['lt']}" if "lt" in bounds else ""
    words = " and ".join(part for part in (least, most) if part)
    return f" {words}" if words else ""


def _list(args: tuple[Any, ...], bounds: _Bounds) -> str:
    if args[-1] is not Ellipsis:
        same = len(set(args)) == 1 and args[0] in _MANY
        return f"a list of {len(args)} {_MANY[args[0]] if same else 'values'}"
    inner, limits = _opened(args[0], ())
    least = "one or more " if bounds.get("min_length") else ""
    if get_origin(inner) is Literal:
        return f"a list of any of {', '.join(map(as_toml, get_args(inner)))}"
    if get_origin(inner) is tuple:
        return "a list of lists"
    return f"a list of {least}{_MANY.get(inner, 'tables')}{_between(limits)}"
