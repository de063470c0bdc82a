"""Read an opened installation: a stack, its scores, their maps and its flags, as xarray and pandas. Nothing is changed."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import xarray as xr

from insar_anomaly.errors import NotFitted, StoreFailed, UsageError
from insar_anomaly.flags.told import Told
from insar_anomaly.ledger.presence import insist
from insar_anomaly.names import Couple, EvidenceKind, FlagName, by_date, place
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.stack.schema import cell_centres

SCORE_COLUMNS = ("gvp", "frame", "pair", "score", "threshold", "flagged", "verdict", "snapshot", "model")
FLAG_COLUMNS = (
    "stack",
    "number",
    "state",
    "since",
    "until",
    "cleared",
    "pairs_over",
    "peak_pair",
    "peak_score",
    "threshold",
    "first_pair",
    "model",
    "told",
)
ASSESSMENT_COLUMNS = ("gvp", "frame", "pair", "after", "seen", *SCORE_COLUMNS[3:])


def read_stack(s: Installation, stack: str, *, pairs: Sequence[str] | None = None) -> xr.Dataset:
    """A stack in order of time, as `stack.schema.STACK` says, lazily: values are read when they are asked for.

    Parameters
    ----------
    stack : ``gvp/frame``
    pairs : only these, ``YYYYMMDD_YYYYMMDD``

    Raises
    ------
    UsageError
        where the catalogue has no such stack, or nothing is stored of it.
    """
    _known(s, stack)
    if not s.store.has(stack):
        raise UsageError(f"{stack}: nothing is stored in {s.config.store}; run `insar-anomaly ingest` first")
    return s.store.open(stack, pairs=pairs)


def read_scores(s: Installation, stack: str | None = None, *, evidence: str = EvidenceKind.PAIR) -> pd.DataFrame:
    """Scores by the current models, in order of time: one row for each pair, or for each assessment of other evidence.

    Columns: gvp, frame, pair, score, threshold, flagged, verdict, snapshot, model; of intervals, acquisitions and both
    directions also after (acquisitions that were seen from its second one on, that one included) and seen (the day from
    which on it could be made). `score` is NaN where there is none; the verdict says why.

    Parameters
    ----------
    stack : a stack or a couple; None takes all
    evidence : pair, interval, acquisition or directions

    Raises
    ------
    UsageError
        for an unknown stack or evidence; Lost where the ledger of a store with scores is gone.
    """
    kind = _kind(evidence)
    insist(s.ledger, s.held, s.config.store)
    if stack is not None:
        _known(s, stack)
    if kind is EvidenceKind.PAIR:
        rows = [{name: getattr(row, name) for name in SCORE_COLUMNS} for row in s.ledger.scores(stack)]
        return pd.DataFrame(rows, columns=list(SCORE_COLUMNS))
    names = s.ledger.modelled(kind) if stack is None else [stack]
    rows = [
        {name: getattr(row, name) for name in ASSESSMENT_COLUMNS} for one in names for row in s.ledger.assessments(one, kind)
    ]
    return pd.DataFrame(rows, columns=list(ASSESSMENT_COLUMNS))


def read_score_maps(s: Installation, stack: str, *, evidence: str = EvidenceKind.INTERVAL) -> xr.Dataset:
    """Score maps of a stack by its current model, lazily, with coordinates in degrees.

    ``score_map`` (pair, lat, lon) float16 and ``score`` (pair); NaN is ground that was not scored. Coordinates: ``pair``
    (the name of the pair, interval or acquisition), ``reference``, ``secondary``, ``lat`` and ``lon`` (centres of the
    cells), and ``after`` where the evidence is fused. What was assessed more than once for the same ``pair`` and ``after``
    stands with its newest score. Attributes: ``stack``, ``evidence``, ``model``, ``threshold`` (NaN where there is none),
    ``stride`` in pixels.

    Raises
    ------
    UsageError
        for a couple, which has no maps of its own, or a stack that is not in the catalogue.
    NotFitted
        where the stack has no model of this evidence; StoreFailed where it has no scores.
    """
    kind = _kind(evidence)
    _known(s, stack)
    if kind is EvidenceKind.DIRECTIONS or isinstance(place(stack), Couple):
        raise UsageError(f"{stack}: a couple has scores and no maps of its own; read the maps of its two stacks")
    model = s.ledger.current(stack, kind)
    if model is None:
        raise NotFitted(f"{stack}: no model of {kind.many}; run `insar-anomaly fit`")
    found = s.store.read_scores(stack, model.model)
    if found is None:
        raise StoreFailed(f"{stack}: model {model.model} has scored nothing yet; run `insar-anomaly nightly`")
    found = found.isel(pair=_newest(found))
    if "lat" not in found:  # scored before maps carried their places
        found = _located(found, s.store.open(stack, pairs=()))
    maps = found.set_coords(["lat", "lon"]).swap_dims(v="lat", u="lon")
    threshold = float("nan") if model.threshold is None else model.threshold
    named = {"stack": stack, "evidence": kind.value, "model": model.model, "threshold": threshold}
    return maps.assign_attrs(named)


def read_flags(s: Installation, *, open_only: bool = False) -> pd.DataFrame:
    """Flags of all stacks and couples by stack and number, one row each; see `FLAG_COLUMNS` and `ledger.EpisodeRow`.

    `told` is ``not told``, ``told`` (a notice waits for a channel) or ``delivered`` (a channel has accepted one).
    """
    insist(s.ledger, s.held, s.config.store)
    told = s.ledger.told()
    rows = [
        {name: getattr(row, name) for name in FLAG_COLUMNS}
        | {"told": told.get(FlagName(row.stack, row.number), Told.NOT_TOLD).value}
        for row in s.ledger.episodes(open_only=open_only)
    ]
    return pd.DataFrame(rows, columns=list(FLAG_COLUMNS))


def _kind(evidence: str) -> EvidenceKind:
    try:
        return EvidenceKind(evidence)
    except ValueError:
        raise UsageError(f"evidence {evidence!r}: choose one of {', '.join(EvidenceKind)}") from None


def _known(s: Installation, stack: str) -> None:
    known = s.by_stack | s.by_couple
    if stack not in known:
        raise UsageError(f"{stack!r} is not a stack of {s.config.catalogue}; it has {', '.join(sorted(known)[:5])}")


def _newest(scores: xr.Dataset) -> list[int]:
    """Positions of the newest score of each assessment, in order of time."""
    after = scores["after"].to_numpy().tolist() if "after" in scores else [0] * scores.sizes["pair"]
    names = map(str, scores["pair"].to_numpy())
    keys = [(by_date(name), seen) for name, seen in zip(names, after, strict=True)]
    last = {key: position for position, key in enumerate(keys)}
    return [last[key] for key in sorted(last)]


def _located(scores: xr.Dataset, stack: xr.Dataset) -> xr.Dataset:
    rows = -(-stack.sizes["y"] // scores.sizes["v"])
    stride = int(scores.attrs.get("stride", rows))
    lat, lon = (cell_centres(stack[name].to_numpy(), stride) for name in ("y", "x"))
    return scores.assign(lat=("v", lat[: scores.sizes["v"]]), lon=("u", lon[: scores.sizes["u"]])).assign_attrs(
        stride=stride
    )
