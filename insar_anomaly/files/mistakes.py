"""What pydantic found, in plain English: the place, what was given, what is allowed.

`validated` is the door: configuration, catalogue and the detectors' own settings use it, and no sentence of pydantic's own
is ever shown. One table, `_SENTENCES`, turns a type of error into a sentence; every other type of error says what the
setting takes and what it was given.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from insar_anomaly.files.allowed import ByKind, allowed, as_toml, element, is_number, one_of, words_of
from insar_anomaly.files.text import Table

UNKNOWN_KIND = "unknown_kind"
"""Type of pydantic's error for a `kind` that is missing or does not exist; its context holds `kinds`, which are all."""
_LONGEST = 60
_TOP = "the top of the file"
_M = TypeVar("_M", bound=BaseModel)
_SECRET = re.compile("password|secret|token|key")
_WEB = "^https?://"
"""How the pattern of a setting begins that takes the address of a web server."""


@dataclass(frozen=True)
class Mistake:
    """A mistake in a file: `place` is where, as `Lines.line` takes it, `words` what is wrong and what mends it, `meaning`
    what the setting is for (empty where that does not help)."""

    place: tuple[str | int, ...]
    words: str
    meaning: str = ""

    def __str__(self) -> str:
        return self.words + (f". Meaning: {self.meaning}" if self.meaning else "")

    @property
    def names(self) -> tuple[str, ...]:
        """The sections and the key of the place, without numbers."""
        return tuple(part for part in self.place if isinstance(part, str))


@dataclass(frozen=True)
class _Found:
    """Where an error's place leads in a model: the table it is in, the field, and what the value at the place may be.

    `heading` is what holds the key, as people call it: ``[calibrate]``, ``the file``, ``a volcano``.
    """

    place: tuple[str | int, ...]
    root: type[BaseModel]
    heading: str
    table: type[BaseModel]
    field: FieldInfo | None
    item: tuple[int, ...]
    annotation: Any


def validated(model: type[_M], values: Table, forms: Mapping[str, str] | None = None) -> tuple[_M | None, list[Mistake]]:
    """The model of these values, or None and every mistake, one for each place.

    Parameters
    ----------
    forms : what some keys take, in the words of the format that was read; for the others their type says it
    """
    found = {mistake.place: mistake for mistake in _truths(values, model)}
    try:
        made = model(**values)
    except ValidationError as problem:
        # the first of a place: a list with a wrong element is not told to be too short as well
        for mistake in (_explained(error, model, forms or {}) for error in problem.errors()):
            found.setdefault(mistake.place, mistake)
        return None, list(found.values())
    return (None if found else made), list(found.values())


def _explained(error: ErrorDetails, model: type[BaseModel], forms: Mapping[str, str]) -> Mistake:
    found = _followed(model, error["loc"])
    key = str(found.place[-1]) if found.place else ""
    takes = forms.get(key) or (allowed(found.field) if found.field else "")
    sentence = _SENTENCES.get(error["type"], _value)
    meaning = found.field.description if found.field and not _table_of(found.field) and sentence is not _kind else ""
    return Mistake(found.place, sentence(error, found, takes), meaning or "")


def _truths(values: Table, model: type[BaseModel], *above: str | int) -> Iterator[Mistake]:
    """Numbers that were given as true or false, which pydantic takes for 1 and 0. `above` is the place of the table."""
    for name, value in values.items():
        if (field := model.model_fields.get(name)) is None:
            continue
        held = value if isinstance(value, list | tuple) else [value]
        if is_number(field.annotation) and any(isinstance(one, bool) for one in held):
            yield Mistake((*above, name), f"give {allowed(field)}, not {shown(value)}", field.description or "")
        for number, table in enumerate(held):
            if isinstance(table, dict) and (inner := _table_for(field, table)):
                yield from _truths(table, inner, *above, name, *([number] if held is value else []))


def _table_for(field: FieldInfo, values: Table) -> type[BaseModel] | None:
    """The model of a table that is given for a field; None where that takes none, or no kind of it fits."""
    annotation = element(field.annotation, 0) or field.annotation
    if by_kind := ByKind.of(annotation):
        return by_kind.table(str(values.get("kind")))
    return _plain(annotation) if _is_table(annotation) else None


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that a misspelt one was meant for; None where none is near."""
    plain = {one.lower(): one for one in known}
    near = difflib.get_close_matches(name.lower().replace("-", "_").replace(" ", "_"), plain, n=1)
    return plain[near[0]] if near else None


def unknown_key(name: str, known: Iterable[str], *, there: str, elsewhere: Mapping[str, Iterable[str]] | None = None) -> str:
    """What is said of a key that does not exist.

    Parameters
    ----------
    known : the keys of its table
    there : what holds them, as it is shown: ``[calibrate]``
    elsewhere : the keys of other tables
    """
    known = list(known)
    near = nearest(name, known)
    if _SECRET.search(name.lower()):
        hint = f": did you mean {near}?" if near and near.endswith("_env") else ""
        return f"unknown key; secrets come from the environment, name the variable instead{hint}"
    exact = any(name in keys for keys in (elsewhere or {}).values())
    if near and not exact:
        return f"unknown key; did you mean {near}?"
    for table, keys in (elsewhere or {}).items():
        if name in keys:
            below = "write it above the first section" if table == _TOP else "write it below that line"
            return f"unknown key; {name} belongs to {table}: {below}"
    return f"unknown key; {there} has {', '.join(known)}"


def shown(value: object) -> str:
    """A value that was given, as TOML writes it; long ones are cut, and a URL's user and password are not shown."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple) and any(isinstance(one, dict) for one in value):
        return "a list of tables"
    words = re.sub(r"://[^/@\s]*@", "://***@", as_toml(value))
    return words if len(words) <= _LONGEST else f"{words[: _LONGEST - 3]}..."


def header(model: type[BaseModel], name: str) -> str:
    """A table's name as the file writes it: ``[flags]``, or ``[[channel]]`` where there may be several."""
    field = model.model_fields.get(name)
    several = field is not None and _is_table(element(field.annotation, 0))
    return f"[[{name}]]" if several else f"[{name}]"


# -- sentences -------------------------------------------------------------------------------------------------------------


def _value(error: ErrorDetails, found: _Found, takes: str) -> str:
    """Any wrong value."""
    if _is_table(found.annotation) or _is_table(element(found.annotation, 0)):
        return _no_table(error, found, takes)
    item = ""
    if len(found.item) == 1 and element(found.annotation, 0) is None:
        item, takes = f"item {found.item[0] + 1}: ", words_of(found.annotation)
    return f"{item}give {takes}{_given(error, found)}"


def _given(error: ErrorDetails, found: _Found) -> str:
    """What was given, unless that may be a secret: an address with a password, or a secret in the place of its variable."""
    name = str(found.place[-1]) if found.place else ""
    hidden = (found.field is not None and not found.field.repr) or name.endswith("_env")
    return "" if hidden else f", not {shown(error['input'])}"


def _form(error: ErrorDetails, found: _Found, takes: str) -> str:
    """A text that has not the form that it needs: an address, as a rule."""
    given, pattern = str(error["input"]), str(error["ctx"]["pattern"])
    example = f", such as {as_toml(found.field.examples[0])}" if found.field is not None and found.field.examples else ""
    if pattern.startswith(_WEB) and not re.match(_WEB, given):
        return f"give an address that begins with https:// or http://{example}{_given(error, found)}"
    return _value(error, found, f"text of the form that is needed{example}" if example else takes)


def _ours(error: ErrorDetails, found: _Found, takes: str) -> str:  # noqa: ARG001
    """What a check of our own says."""
    item = f"item {found.item[0] + 1}: " if found.item else ""
    return f"{item}{error['ctx']['error']}"


def _missing(error: ErrorDetails, found: _Found, takes: str) -> str:
    if found.item:  # an element of a list with a fixed number of them
        return f"give {takes}, not {shown(error['input'])}"
    return f"missing; give {takes}"


def _unknown(error: ErrorDetails, found: _Found, takes: str) -> str:  # noqa: ARG001
    name, given, root = str(found.place[-1]), error["input"], found.root
    tables = [one for one, field in root.model_fields.items() if _table_of(field)]
    if found.table is root and tables and shown(given) in ("a table", "a list of tables"):
        near = nearest(name, tables)
        listed = ", ".join(header(root, one) for one in tables)
        return "unknown section; " + (f"did you mean {header(root, near)}?" if near else f"there are {listed}")
    plain = [one for one, field in found.table.model_fields.items() if not _table_of(field)]
    elsewhere: dict[str, Iterable[str]] = {header(root, one): _keys(root.model_fields[one]) for one in tables}
    if found.table is not root:
        elsewhere[_TOP] = [one for one in root.model_fields if one not in tables]
    return unknown_key(name, plain, there=found.heading, elsewhere=elsewhere)


def _no_table(error: ErrorDetails, found: _Found, takes: str) -> str:  # noqa: ARG001
    name = next(str(part) for part in reversed(found.place) if isinstance(part, str))
    if _is_table(found.annotation):
        return f"give a table headed [{name}], not {shown(error['input'])}"
    return f"write each as a table of its own, headed [[{name}]] with two brackets; {shown(error['input'])} was given"


def _kind(error: ErrorDetails, found: _Found, takes: str) -> str:  # noqa: ARG001
    kinds, given = error["ctx"]["kinds"], error["input"]
    if given is None:
        return f"missing; give {one_of(kinds)}"
    near = nearest(str(given), kinds)
    return f"give {one_of(kinds)}, not {shown(given)}" + (f"; did you mean {near}?" if near else "")


_SENTENCES: dict[str, Callable[[ErrorDetails, _Found, str], str]] = {
    "value_error": _ours,
    "string_pattern_mismatch": _form,
    "missing": _missing,
    "extra_forbidden": _unknown,
    "model_type": _no_table,
    "dict_type": _no_table,
    "model_attributes_type": _no_table,
    UNKNOWN_KIND: _kind,
}


# -- where an error's place leads ------------------------------------------------------------------------------------------


def _followed(model: type[BaseModel], loc: tuple[str | int, ...]) -> _Found:
    place: list[str | int] = []
    item: list[int] = []
    table, field = model, None
    annotation: Any = model
    for part in loc:
        by_kind = ByKind.of(annotation)
        if isinstance(part, int):
            annotation = element(annotation, part)
            (place if _is_table(annotation) else item).append(part)
        elif by_kind and (chosen := by_kind.table(part)):  # the kind of a channel stands in the place as if it were a key
            annotation = chosen
        else:
            table = _plain(annotation) if _is_table(annotation) else table
            field = table.model_fields.get(part)
            annotation = field.annotation if field else None
            place.append(part)
            item = []
    first = str(loc[0]) if loc else ""
    whole = "the file" if any(_table_of(one) for one in model.model_fields.values()) else f"a {model.__name__.lower()}"
    heading = whole if table is model else header(model, first)
    return _Found(tuple(place), model, heading, table, field, tuple(item), annotation)


def _plain(annotation: Any) -> Any:
    """The type inside ``Annotated``."""
    while hasattr(annotation, "__metadata__"):
        annotation = get_args(annotation)[0]
    return annotation


def _is_table(annotation: Any) -> bool:
    plain = _plain(annotation)
    return isinstance(plain, type) and issubclass(plain, BaseModel)


def _table_of(field: FieldInfo) -> bool:
    return _is_table(field.annotation) or _is_table(element(field.annotation, 0))


def _keys(field: FieldInfo) -> set[str]:
    """Every key of a field that is a table or a list of tables."""
    inner = field.annotation if _is_table(field.annotation) else element(field.annotation, 0)
    by_kind = ByKind.of(inner)
    models = map(by_kind.table, by_kind.kinds()) if by_kind else [_plain(inner)]
    return {key for model in models if model for key in model.model_fields}
