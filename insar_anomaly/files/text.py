"""The text of a file, whatever program saved it; what cannot be known is explained with its line and the remedy."""

from __future__ import annotations

import codecs
import re
import tomllib
from pathlib import Path
from typing import Any

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


Table = dict[str, Any]
"""A table of a file as it was written: keys and unchecked values, further tables among them."""


class NotText(ValueError):
    """A file's text cannot be read, or is not what it should be; `line` is where."""

    def __init__(self, line: int, words: str) -> None:
        super().__init__(words)
        self.line = line


def utf8(raw: bytes) -> str:
    """The text of a file that has to be UTF-8, with or without a byte order mark.

    Raises
    ------
    NotText
        with the line of the first byte that is not UTF-8.
    """
    if raw.startswith(_UTF16) or b"\0" in raw:
        raise NotText(1, "the file is not UTF-8 but looks like UTF-16; save it again as UTF-8")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = raw.count(b"\n", 0, problem.start) + 1
        byte = raw[problem.start]
        words = f"the file is not UTF-8 (byte 0x{byte:02x}, which is {chr(byte)!r} in Latin-1); save it again as UTF-8"
        raise NotText(line, words) from None


def any_encoding(raw: bytes) -> str:
    """The text of a table as spreadsheets save it: UTF-8, UTF-16 with a byte order mark, or Latin-1.

    Latin-1 has no mark of its own. A file that is not UTF-8 is taken for it where every byte over 127 is then a letter:
    other old encodings put their accented letters elsewhere.

    Raises
    ------
    NotText
        with the line of the first byte that tells that it is none of them.
    """
    if raw.startswith(_UTF16):
        try:
            return raw.decode("utf-16")
        except UnicodeDecodeError:
            raise NotText(1, "the file starts like UTF-16 and is not; save it again as UTF-8") from None
    try:
        return utf8(raw)
    except NotText:
        if b"\0" in raw:
            raise
    text = raw.decode("latin-1")
    for at, letter in enumerate(text):
        if ord(letter) > 127 and not letter.isalpha():
            line = text.count("\n", 0, at) + 1
            words = f"the file is neither UTF-8 nor Latin-1 (byte 0x{ord(letter):02x}); save it again as UTF-8"
            raise NotText(line, words)
    return text


def toml(file: Path) -> tuple[str, Table]:
    """Text and tables of a TOML file.

    Raises
    ------
    NotText
        with the line where it is no TOML, or not UTF-8.
    OSError
        where it cannot be read.
    """
    text = utf8(file.read_bytes())
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        said = str(problem)
        place = _PLACE.search(said)
        line = int(place[1]) if place and place[1] else max(1, len(text.splitlines()))
        column = f", column {place[2]}" if place and place[2] else ""
        where = f"line {line}{column}" if column else f"line {line}, the end of the file"
        written = text.splitlines()[line - 1] if text.splitlines() else ""
        raise NotText(line, f"{said[: place.start()] if place else said} ({where}){_remedy(said, written)}") from None


def _remedy(said: str, line: str) -> str:
    """What mends the mistakes in TOML that people make most; empty for others."""
    if said.startswith("Cannot") and (found := re.match(r"\s*\[+([\w-]+)\]", line)):
        return f"; where there are several, write each with two brackets: [[{found[1]}]]"
    if re.search(r"=\s*-?\d+,\d+\s*(#.*)?$", line):
        return "; write a decimal point, not a comma"
    if re.search(r'=\s*"[^"]*\\', line):
        return "; write / for \\, or put the text between single quotes"
    if re.match(r"\s*\[[^\]]*$", line):
        return "; close a section's name with the brackets that open it"
    if re.match(r"\s*[\w-]+\s*:", line):
        return "; write key = value"
    if re.search(r"=\s*(True|False|None)\b", line):
        return "; write true or false in lower case, and leave a key out where it has no value"
    if re.search(r"=\s*[A-Za-z/~]", line):
        return "; put text between quotes"
    return ""
