"""The figure of any flag, or of any day of a stack, drawn from the store: also where no notice was ever made."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from insar_anomaly.errors import UsageError, writing
from insar_anomaly.ledger.records import EpisodeRow, ScoredAssessment
from insar_anomaly.names import EvidenceKind, FlagName, Period, Span, file_stem, span_of
from insar_anomaly.notify import wording
from insar_anomaly.pipeline.couples import joint_assessments
from insar_anomaly.pipeline.drawing import drawn
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.measuring import scene_of
from insar_anomaly.pipeline.scene import Shown
from insar_anomaly.pipeline.shown import of_flag, of_joint
from insar_anomaly.spoken import DEFAULT, LANGUAGES

_FLAG = re.compile(r"(?P<stack>.+):(?P<number>\d+)")
_NEAREST = 3
FORMATS = {"png": "png", "svg": "svg", "pdf": "pdf", "jpg": "jpeg", "jpeg": "jpeg"}
"""Formats of figures, by the ending of a file's name."""


@dataclass(frozen=True)
class _Wanted:
    """What is to be drawn: its stack, the parts, the words of its title and the end of its file's name."""

    stack: str
    parts: list[Shown]
    heading: str
    note: str
    stem: str


def redraw(s: Installation, name: str, day: date | None, *, out: str | None = None, language: str = DEFAULT) -> Path:
    """Draw a flag (``gvp/frame:number``), or what a stack shows of a day, into a file; returns the file.

    Its name's ending says the format, PNG where it has none. Without `out` it is
    ``flags/<gvp>_<frame>_<number or dates>.png`` in the figures' folder.

    Raises
    ------
    UsageError
        where there is no such flag, stack or assessment; it names the nearest ones. Where the format is unknown.
    StoreFailed
        where what it rests on is gone.
    OSError
        which names the file, where it cannot be written.
    """
    form = _format(out)
    wanted = _day(s, name, day, language) if day is not None else _flag(s, name, language)
    picture = _picture(s, wanted, language, form)
    file = Path(out) if out else Path(s.config.figures) / "flags" / f"{file_stem(wanted.stack)}_{wanted.stem}.png"
    try:
        with writing(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(picture)
    except OSError as problem:
        if out is None:
            raise
        raise UsageError(f"--out {out}: {problem.strerror}; name a file that can be written") from None
    return file


def picture_of(s: Installation, flag: FlagName, language: str = DEFAULT) -> bytes:
    """The figure (PNG) of a flag as it stands now. Raises UsageError and StoreFailed as `redraw`."""
    return _picture(s, _flag(s, str(flag), language), language)


def _format(out: str | None) -> str:
    """The format that a file's ending asks for."""
    ending = Path(out or "").suffix.removeprefix(".").lower()
    if ending and ending not in FORMATS:
        *most, last = sorted({f".{one}" for one in FORMATS})
        raise UsageError(
            f"--out {out}: figures are not written as .{ending}; name a file that ends in {', '.join(most)} or {last}"
        )
    return FORMATS.get(ending, "png")


def _picture(s: Installation, wanted: _Wanted, language: str, form: str = "png") -> bytes:
    volcano = (s.by_stack | s.by_couple)[wanted.stack]
    scenes = [scene_of(s, part) for part in wanted.parts]
    return drawn(volcano, scenes, heading=wanted.heading, note=wanted.note, language=language, form=form)


def _flag(s: Installation, name: str, language: str) -> _Wanted:
    found = _FLAG.fullmatch(name)
    if found is None:
        stack = _stack(s, name)
        raise UsageError(f"draw {name}: write a flag, as in {stack}:1, or a date after the stack. {_flags(s, stack)}")
    stack = _stack(s, found["stack"])
    row = next((row for row in s.ledger.episodes(stack) if row.number == int(found["number"])), None)
    if row is None:
        raise UsageError(f"draw {name}: {stack} has no flag {found['number']}. {_flags(s, stack)}")
    parts = of_flag(s, row, as_of=_today())
    return _Wanted(stack, parts, wording.heading(row.state, language), _note(row, language), str(row.number))


def _day(s: Installation, name: str, day: date, language: str) -> _Wanted:
    stack = _stack(s, name)
    if stack in s.by_couple:
        return _day_of_couple(s, stack, day, language)
    model, _ = s.resting(stack)
    if model is None:
        raise UsageError(f"draw {name}: the stack is not fitted, and nothing is assessed: run `insar-anomaly fit`")
    rows = [row for row in s.ledger.assessments(stack, model.evidence) if row.score is not None]
    row = max(_holding(rows, day), key=lambda one: (-_length(one.pair), one.after), default=None)
    if row is None:
        raise UsageError(f"draw {name}: nothing assessed holds {day}. {_nearest({one.pair for one in rows}, day)}")
    part = (stack, model.evidence, row.pair, row.after, row.model, row.threshold)
    span = _span(row.pair)
    shown = Shown(*part, as_of=_today(), since=span.first, until=span.last)
    return _Wanted(stack, [shown], "", _scored(row.score, row.threshold, span, language), row.pair)


def _day_of_couple(s: Installation, couple: str, day: date, language: str) -> _Wanted:
    every = joint_assessments(s, couple, Period(last=_today()))
    holding = [one for one in every if one.first <= day <= one.last]
    if not holding:
        raise UsageError(f"draw {couple}: nothing assessed holds {day}. {_nearest({one.name for one in every}, day)}")
    joint = max(holding, key=lambda one: (-(one.last - one.first).days, one.seen))
    model = s.ledger.current(couple, EvidenceKind.DIRECTIONS)
    parts = of_joint(s, couple, joint, as_of=_today(), time=(joint.first, joint.last))
    note = _scored(joint.score, model.threshold if model else None, Span(joint.first, joint.last), language)
    return _Wanted(couple, parts, "", note, joint.name)


def _stack(s: Installation, name: str) -> str:
    """The stack or couple of this name."""
    known = s.by_stack | s.by_couple
    if name in known:
        return name
    near = difflib.get_close_matches(name, known, n=_NEAREST, cutoff=0.3) or sorted(known)[:_NEAREST]
    raise UsageError(f"{name!r} is no stack of {s.config.catalogue}; the nearest are {', '.join(near)}")


def _flags(s: Installation, stack: str) -> str:
    numbers = [f"{stack}:{row.number}" for row in s.ledger.episodes(stack)]
    return f"Its flags: {', '.join(numbers)}" if numbers else "It has no flags; name a date instead"


def _holding(rows: Iterable[ScoredAssessment], day: date) -> list[ScoredAssessment]:
    return [row for row in rows if (span := span_of(row.pair)) and span.first <= day <= span.last]


def _nearest(names: Iterable[str], day: date) -> str:
    """The spans nearest to a day, in words."""
    near = sorted(map(_span, names), key=lambda span: min(abs((day - span.first).days), abs((day - span.last).days)))
    if not near:
        return "Nothing of it was ever assessed: run `insar-anomaly nightly` or `backfill`"
    told = ", ".join(f"{span.first} to {span.last}" for span in sorted(near[:_NEAREST], key=lambda span: span.order))
    return f"The nearest are {told}"


def _span(name: str) -> Span:
    return span_of(name) or Span.of(name)


def _length(name: str) -> int:
    span = _span(name)
    return (span.last - span.first).days


def _note(row: EpisodeRow, language: str) -> str:
    return _scored(row.peak_score, row.threshold, Span(row.since, row.until), language)


def _scored(score: float | None, threshold: float | None, span: Span, language: str) -> str:
    words = LANGUAGES.get(language, LANGUAGES[DEFAULT])
    value, line = (words.none if number is None else f"{number:.4g}" for number in (score, threshold))
    return words.scored.format(span=words.span(span.first, span.last), score=value, threshold=line)


def _today() -> date:
    return datetime.now(UTC).date()
