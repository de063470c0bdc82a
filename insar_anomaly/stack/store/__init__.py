"""The only reader and writer of stacks, models and scores, in Icechunk repositories. One append is one transaction.

Layout below the store's URL: ``stacks/<gvp>/<frame>``, ``models/<gvp>/<frame>`` and ``scores/<gvp>/<frame>``, the last two
with one group per model; ``models/backbones/<hash>``, the networks that models share; and ``features/<gvp>/<frame>``, what
a fit keeps for the next one. A commit either happens as a whole or not at all, so a reader never sees half a batch.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

# before the first import of icechunk, which reads it once: a local store warns at every open that concurrent commits are
# unsafe there, and a lock allows one writer only
os.environ.setdefault("ICECHUNK_LOG", "error")


from insar_anomaly.stack.store.features import Features
from insar_anomaly.stack.store.models import Models
from insar_anomaly.stack.store.probing import Probing
from insar_anomaly.stack.store.repository import BRANCH
from insar_anomaly.stack.store.restacks import Restacks
from insar_anomaly.stack.store.scores import Scores
from insar_anomaly.stack.store.stacks import Kept
from insar_anomaly.stack.store.writer import Writer

__all__ = ["Kept", "Store", "Writer"]


class Store(Restacks, Models, Scores, Features, Probing):
    """Stacks, models and scores below one URL. Cheap to make and to send to a worker: nothing is open in it.

    Parameters
    ----------
    url : a folder, ``file://`` or ``s3://bucket/prefix``
    endpoint_url, region, anonymous : for S3; credentials come from the environment
    """

    def expire(
        self, stack: str, *, older_than: timedelta, young: timedelta = timedelta(), keep: Collection[str] = ()
    ) -> int:
        """Forget snapshots older than `older_than` and collect what only they held; returns the number of snapshots.

        The newest snapshot always stays, and so do snapshots of the stack that are named in `keep`: they get a tag. A score
        whose snapshot has expired is recomputed from a later one, which has the same values unless a pair was corrected.
        Features that no newest fit uses are dropped first. Objects that are younger than `young` are left alone: another
        process may be writing them.
        """
        self.drop_features(stack)
        self.tag(stack, keep)
        limit = datetime.now(UTC) - older_than
        forgotten = 0
        for kind in ("stacks", "models", "scores", "features"):
            with self._explained(stack):
                if self._exists(kind, stack):
                    repository = self._repository(kind, stack)
                    forgotten += len(repository.expire_snapshots(limit))
                    # what another process is writing now belongs to no snapshot yet
                    repository.garbage_collect(min(limit, datetime.now(UTC) - young))
        return forgotten

    def tag(self, stack: str, snapshots: Collection[str]) -> None:
        """Keep these snapshots of a stack for ever. Those that are gone already, or of another repository, are left out."""
        if not snapshots:
            return
        with self._explained(stack):
            if not self._exists("stacks", stack):
                return
            repository = self._repository("stacks", stack)
            tagged = {repository.lookup_tag(name) for name in repository.list_tags()}
            there = {one.id for one in repository.ancestry(branch=BRANCH)}
            for name in repository.list_tags():  # of grids before
                there |= {one.id for one in repository.ancestry(tag=name)}
            for snapshot in sorted((set(snapshots) & there) - tagged):
                repository.create_tag(f"kept-{snapshot}", snapshot)
