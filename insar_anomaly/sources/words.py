"""Sentences that several readers and commands have in common."""

from __future__ import annotations

from insar_anomaly.errors import HeightUnusable, MissingLayer, NotNow, PairRejected

_WITHOUT = "; the stack is made without it"


def counted(number: int, one: str, several: str = "") -> str:
    """``1 pair``, ``2 pairs``; `several` where it is not `one` with an s."""
    return f"{number} {one if number == 1 else several or one + 's'}"


def left_out(problem: PairRejected | NotNow) -> str:
    """What is to say of an optional layer that cannot be used: file, reason, remedy, and that the stack goes on."""
    return reason(problem) + _WITHOUT


def reason(problem: PairRejected | NotNow | str) -> str:
    """File, reason and remedy of a layer that cannot be used, also of a line of `left_out`: one that a stack cannot do
    without must not be told to be left out."""
    words = problem if isinstance(problem, str) else getattr(problem, "detail", str(problem))
    return str(words).removesuffix(_WITHOUT)


def no_height(problem: PairRejected | NotNow) -> MissingLayer:
    """The error of a height that is needed and cannot be used; `HeightUnusable` where its file is at fault."""
    kind = HeightUnusable if isinstance(problem, PairRejected) else MissingLayer
    return kind(f"{reason(problem)}, or leave height out of [preprocess] remove")
