"""A stack built anew beside the old one, on a branch of the same repository, and swapped in when it is whole.

Snapshots of the old grid stay in the repository, under a tag: what was scored from one of them can be read from it.
"""

from __future__ import annotations

import icechunk
import xarray as xr

from insar_anomaly.errors import StoreFailed
from insar_anomaly.stack.store.corrections import Corrections
from insar_anomaly.stack.store.counted import counted
from insar_anomaly.stack.store.repository import BRANCH
from insar_anomaly.stack.store.stacks import Kept
from insar_anomaly.stack.store.writer import Writer

_BESIDE = "restack"
"""The branch on which a stack is built beside the one that is used."""


class Restacks(Corrections):
    """Stacks that can be built anew."""

    def begin_restack(self, stack: str, static: xr.Dataset, *, writer: Writer | None = None) -> None:
        """Begin a stack with these static layers beside the present one; go on with one that has the same grid.

        One that was begun for another grid is given up.
        """
        with self._explained(stack):
            repository = self._repository("stacks", stack)
            number = _built(repository, BRANCH)[1] + 1
            if _BESIDE in repository.list_branches():
                if _built(repository, _BESIDE) == (list(static.attrs["grid"]), number):
                    return
                repository.delete_branch(_BESIDE)
            repository.create_branch(_BESIDE, repository.lookup_branch(BRANCH))
        self.create(stack, static.assign_attrs(built=number), writer=writer, branch=_BESIDE)

    def beside(self, stack: str) -> dict[str, Kept] | None:
        """Pairs of the stack that is being built beside the present one; None where none is."""
        with self._explained(stack):
            there = _BESIDE in self._repository("stacks", stack).list_branches()
        return self.versions(stack, branch=_BESIDE) if there else None

    def append_beside(self, stack: str, batch: xr.Dataset, *, writer: Writer | None = None) -> str:
        """As `append`, to the stack that is being built."""
        return self.append(stack, batch, writer=writer, branch=_BESIDE)

    def swapped(self, stack: str) -> bool:
        """True where the stack that was built beside is the present one already: a process ended before `end_restack`."""
        with self._explained(stack):
            repository = self._repository("stacks", stack)
            if _BESIDE not in repository.list_branches():
                return False
            return repository.lookup_branch(_BESIDE) == repository.lookup_branch(BRANCH)

    def swap(self, stack: str, *, writer: Writer | None = None) -> str:
        """Make the stack that was built beside the present one, in one step; returns its snapshot id.

        The old one stays in the repository, tagged ``grid-<number>``. Raises StoreFailed where the old one was changed by
        another writer meanwhile.
        """
        with self._explained(stack), self._alone("stacks", stack):
            repository = self._repository("stacks", stack)
            old, new = (repository.lookup_branch(name) for name in (BRANCH, _BESIDE))
            if old == new:
                return str(new)
            tag = f"grid-{_built(repository, BRANCH)[1]}"
            if tag not in repository.list_tags():
                repository.create_tag(tag, old)
            if writer is not None:
                writer.insist()
            try:
                repository.reset_branch(BRANCH, new, from_snapshot_id=old)
            except icechunk.IcechunkError as problem:
                raise StoreFailed(
                    f"{stack}: the stack was changed while it was swapped; run the same command again"
                ) from problem
            return str(new)

    def end_restack(self, stack: str) -> None:
        """Forget the branch on which the present stack was built."""
        with self._explained(stack):
            repository = self._repository("stacks", stack)
            if _BESIDE in repository.list_branches():
                repository.delete_branch(_BESIDE)


def _built(repository: icechunk.Repository, branch: str) -> tuple[list[float], int]:
    """The grid of a branch's stack, and how often the stack had been built anew."""
    session = repository.readonly_session(branch)
    with xr.open_zarr(counted(session), consolidated=False, chunks=None) as held:
        return [float(edge) for edge in held.attrs["grid"]], int(held.attrs.get("built", 0))
