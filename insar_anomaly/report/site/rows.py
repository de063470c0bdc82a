"""What the pages of the site show: rows of the ledger as they were, with names of the pictures and files beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from insar_anomaly.calibration.record import Calibration
from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.ledger.people_rows import ActRow, Label
from insar_anomaly.ledger.records import EpisodeRow, ModelRow, ScoredAssessment, ScoredPair
from insar_anomaly.names import FlagName, direction, frame_of, span_of, track
from insar_anomaly.report.digest import Digest


class Mark(StrEnum):
    """What a volcano's marker says, the most urgent first. None of them says that a volcano is quiet.

    People were told of an open flag; a stack failed in the last night; an open flag is only noted; its flags are muted; no
    stack of it can raise a flag; nothing usable comes any more; it is screened and no flag is open.
    """

    words: str
    meaning: str

    def __new__(cls, name: str, words: str, meaning: str) -> Mark:
        one = str.__new__(cls, name)
        one._value_, one.words, one.meaning = name, words, meaning
        return one

    FLAGGED = "flagged", "flagged", "an open flag that people were notified of"
    FAILED = "failed", "failed", "a stack of it failed in the last night"
    NOTED = "noted", "noted", "an open flag below the level of notices"
    MUTED = "muted", "muted", "a person asked for no notices"
    BLIND = "blind", "blind", "a stack of it can raise no flag: it is not fitted or has no threshold"
    STALE = "stale", "stale", "nothing usable has come for several repeats"
    NO_FLAG = "no-flag", "no flag", "screened, and no flag is open"


@dataclass(frozen=True)
class VolcanoRow:
    """A volcano on the front page.

    `period` is the return period, years, of the highest score that its stacks' newest acquisitions or its open flags have,
    None where none is known; `ratio` that score over its threshold. `newest` is its newest acquisition, of any frame.
    """

    volcano: Volcano
    mark: Mark
    period: float | None = None
    ratio: float | None = None
    newest: date | None = None
    open_flags: int = 0
    noted_flags: int = 0
    muted_until: date | None = None
    why: str = ""

    @property
    def ways(self) -> str:
        """The passes of its frames: ``A``, ``D``, ``A D``; empty where their names do not say it."""
        return " ".join(sorted({way for frame in self.volcano.frames if (way := direction(frame))}))


@dataclass(frozen=True)
class Spent:
    """The budget of false flags in a year, up to now: flags that people were notified of, and what they were labelled."""

    year: int
    budget: float
    notified: int
    volcanic: int
    false: int

    @property
    def open_question(self) -> int:
        """Flags that nobody has labelled, or that somebody is unsure of."""
        return self.notified - self.volcanic - self.false


@dataclass(frozen=True)
class Canary:
    """One night's proof that the screening sees: the score of a source that was put into real data, and its threshold."""

    day: date
    score: float
    threshold: float


@dataclass(frozen=True)
class Front:
    """The front page. `digest` is of the newest night, None where none was run; `level` says from where flags are told."""

    title: str
    rows: Sequence[VolcanoRow]
    digest: Digest | None
    spent: Spent
    level: str | None
    version: str
    made: datetime
    disclaimer: str
    canary: Sequence[Canary] = ()


@dataclass(frozen=True)
class Picture:
    """A picture by its file's name, its size in pixels, and what it shows in words, for who cannot see it."""

    file: str
    width: int
    height: int
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class Download:
    """A file to take away: its name, the words of its button, and its size in bytes."""

    file: str
    words: str
    size: int


@dataclass(frozen=True)
class Motion:
    """Motion of places along the line of sight, cm, positive towards the satellite, zero at the first day.

    `cells` (row, column, day) are of the whole map, None = not measured; `peak` (day,) of its largest motion, whose place
    is `place` (latitude, longitude). `corner` is the map's north-western one (latitude, longitude), `cell` the size of a
    cell, both degrees; `picture` shows the motion from the first to the last day, one pixel for each cell.
    """

    days: Sequence[date]
    peak: Sequence[float | None]
    place: tuple[float, float] | None
    cells: Sequence[Sequence[Sequence[float | None]]] = ()
    corner: tuple[float, float] = (0.0, 0.0)
    cell: tuple[float, float] = (0.0, 0.0)
    picture: Picture | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the cells."""
        return (len(self.cells), len(self.cells[0])) if self.cells else (0, 0)


@dataclass(frozen=True)
class Film:
    """Small pictures of the score maps of a stack, side by side in one file: `columns` of them in a row, `width` by `height`
    pixels each, in the order of `names`."""

    picture: Picture
    names: Sequence[str]
    width: int
    height: int
    columns: int
    vent: tuple[float, float]
    """Of the vent: part of the width from the west, part of the height from the north."""


@dataclass(frozen=True)
class Seen:
    """What the maps of a stack's newest assessment show, or of a flag's highest score; `why` says why there is none."""

    words: str
    panels: Sequence[Picture] = ()
    motion: Motion | None = None
    why: str = ""


@dataclass(frozen=True)
class FlagView:
    """A flag: its row, what people did with it, and the address at which a person can act, where there is one."""

    row: EpisodeRow
    acts: Sequence[ActRow] = ()
    link: str | None = None
    period: float | None = None

    @property
    def name(self) -> FlagName:
        """``GVP/FRAME:NUMBER``."""
        return FlagName(self.row.stack, self.row.number)

    @property
    def label(self) -> Label | None:
        """The last label that a person gave."""
        return next((act.label for act in reversed(self.acts) if act.label is not None), None)


@dataclass(frozen=True)
class ModelView:
    """A model: its row, its calibration, the names that it was fitted on, and the hash of its network where it has one."""

    row: ModelRow
    calibration: Calibration
    fitted: Sequence[str] = ()

    @property
    def months(self) -> list[int]:
        """How many of what it was fitted on ended in each month, January first."""
        ends = [found.last.month for name in self.fitted if (found := span_of(name))]
        return [ends.count(month) for month in range(1, 13)]


@dataclass(frozen=True)
class StackView:
    """A stack or couple: what it was assessed by, its assessments and flags, and what its maps show.

    `notice_from` is the score from which on people are notified, None where it is the threshold. `blind` says why it
    raises no flag, empty where it can.
    """

    stack: str
    model: ModelView | None
    rows: Sequence[ScoredAssessment | ScoredPair] = ()
    flags: Sequence[FlagView] = ()
    notice_from: float | None = None
    blind: str = ""
    stale: str = ""
    newest: date | None = None
    expected: date | None = None
    seen: Sequence[Seen] = ()
    film: Film | None = None
    downloads: Sequence[Download] = ()

    @property
    def frame(self) -> str:
        """Its frame, or both of a couple."""
        return frame_of(self.stack)

    @property
    def way(self) -> str:
        """The pass in words; empty where the name does not say it."""
        return {"A": "ascending", "D": "descending", None: ""}[direction(self.frame)] if "+" not in self.frame else "both"

    @property
    def track(self) -> int | None:
        """The relative orbit, where the frame's name says it."""
        return track(self.frame)


@dataclass(frozen=True)
class VolcanoView:
    """A volcano's page: its stacks, ascending before descending, then its couples; and what people did."""

    row: VolcanoRow
    stacks: Sequence[StackView]
    acts: Sequence[ActRow]
    made: datetime
    version: str
    disclaimer: str
    config: str = "FILE"
    """The configuration's name, for commands that a person pastes."""
    others: Sequence[tuple[str, ModelView]] = ()
    """Stacks and their models beside those that flags rest on."""
