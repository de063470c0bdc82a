"""Scores and score maps, one group per model."""

from __future__ import annotations

from itertools import count

import icechunk
import numpy as np
import xarray as xr
import zarr

from insar_anomaly.stack.arrays import described, encoding, insist
from insar_anomaly.stack.schema import SCORES, pair_names
from insar_anomaly.stack.store.counted import counted
from insar_anomaly.stack.store.optional import with_optional
from insar_anomaly.stack.store.repository import (
    BRANCH,
    COMPRESSORS,
    Place,
    Repositories,
    assessments,
    groups_in,
    repeated,
    stored,
    write,
)
from insar_anomaly.stack.store.writer import Writer


class Scores(Repositories):
    """The scores of the store."""

    def append_scores(self, stack: str, model: str, scores: xr.Dataset, *, writer: Writer | None = None) -> str:
        """Append scores of one model in one transaction, without assessments already stored; returns the snapshot id.

        An assessment that was scored again because other pairs were fused for it is appended: the last one counts.
        """
        batch = scores.assign(score_map=scores["score_map"].astype(np.float16))
        batch = batch.drop_vars([n for n in batch.coords if n not in SCORES]).reset_coords()
        insist(batch, SCORES, stack)
        with self._explained(stack):
            for tried in count():
                try:
                    return self._append_scores(self._place("scores", stack, create=True), model, batch, writer)
                except (icechunk.ConflictError, icechunk.IcechunkError) as problem:
                    if not repeated(problem, tried):
                        raise
        raise AssertionError

    def _append_scores(self, place: Place, model: str, batch: xr.Dataset, writer: Writer | None) -> str:
        session = place.repository.writable_session(BRANCH)
        known_model = model in groups_in(session)
        before, attributes = stored(session, model) if known_model else ([], {})
        known = set(before)
        fresh = [i for i, assessment in enumerate(assessments(batch)) if assessment not in known]
        if not fresh:
            return str(session.snapshot_id)
        batch = batch.isel(pair=fresh)
        if known_model:  # where the cells of the map lie was written with the first batch
            group = zarr.open_group(session.store, path=model, mode="r+")
            batch = with_optional(batch.drop_vars(["lat", "lon"], errors="ignore"), group, SCORES, stored=len(before))
            write(batch.assign_attrs(attributes), session.store, group=model, append_dim="pair")
        else:
            how = encoding(batch, SCORES, COMPRESSORS)
            write(described(batch, SCORES), session.store, group=model, mode="w-", encoding=how)
        return self._commit(place, session, f"{place.stack}: {len(fresh)} scores of {model}", writer)

    def read_scores(self, stack: str, model: str) -> xr.Dataset | None:
        """Scores of one model, lazy, in order of arrival, with coordinate ``pair``; None where there are none."""
        with self._explained(stack):
            if not self._exists("scores", stack):
                return None
            session = self._repository("scores", stack).readonly_session(BRANCH)
            if model not in groups_in(session):
                return None
            dataset = xr.open_zarr(counted(session), group=model, consolidated=False, chunks={})
        named: xr.Dataset = dataset.assign_coords(pair=pair_names(dataset))
        return named
