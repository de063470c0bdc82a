"""What can be added by name: sources, detectors and channels, of this package and of other installed packages.

To add one here, write its file and add one line to a table below. To add one from another package, declare an entry point:

.. code-block:: toml

    [project.entry-points."insar_anomaly.detectors"]
    loudness = "my_package.loudness:REGISTRATION"

The name of the entry point is the `kind` in the configuration. What it names is a ``Registration``: `sources.base`,
`detectors.base` and `notify.message` say what each one holds. Nothing is imported before it is needed.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from insar_anomaly.errors import PluginFailed

T = TypeVar("T")


@dataclass(frozen=True)
class Plugin:
    """A kind that another installed package offers, and the name and version of that package."""

    kind: str
    package: str
    entry: EntryPoint


@dataclass(frozen=True)
class Registry:
    """Kinds of one sort.

    Parameters
    ----------
    group : the group of entry points by which other packages add kinds
    what : one of the sort, in words
    own : the kinds of this package: kind -> ``module:name`` of its registration
    """

    group: str
    what: str
    own: Mapping[str, str]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Every kind: this package's first, then those of other packages. None of them is imported."""
        return tuple(dict.fromkeys((*self.own, *(plugin.kind for plugin in self.plugins))))

    @property
    def plugins(self) -> list[Plugin]:
        """What other packages offer, sorted by kind."""
        return _plugins(self.group)

    def advice(self, kind: str) -> str:
        """What to write in place of a kind that does not exist."""
        near = difflib.get_close_matches(kind, self.kinds, n=1)
        return f"choose one of {', '.join(self.kinds)}" + (f"; did you mean {near[0]}?" if near else "")

    def load(self, kind: str, form: type[T]) -> T:
        """The registration of a kind, imported now; `form` is the class that registrations of this sort have.

        Raises
        ------
        ValueError
            where there is no such kind; the message lists the kinds.
        PluginFailed
            where the kind is another package's and cannot be used; the message names the package.
        """
        if kind in self.own:
            module, _, name = self.own[kind].partition(":")
            found = getattr(import_module(module), name)
            assert isinstance(found, form)
            return found
        offers = [plugin for plugin in self.plugins if plugin.kind == kind]
        if not offers:
            raise ValueError(f"{self.what} kind = {kind!r}: {self.advice(kind)}")
        return self.load_plugin(offers[0], form)

    def load_plugin(self, plugin: Plugin, form: type[T]) -> T:
        """The registration of another package's kind, imported now. Raises PluginFailed where it cannot be used."""
        where = f"{self.what} {plugin.kind} of package {plugin.package}"
        others = [one.package for one in self.plugins if one.kind == plugin.kind and one != plugin]
        if plugin.kind in self.own or others:
            taken = "this package" if plugin.kind in self.own else f"package {others[0]}"
            raise PluginFailed(f"{where}: {taken} has a {self.what} of the same name; uninstall {plugin.package}")
        try:
            found = plugin.entry.load()
        except Exception as problem:
            raise PluginFailed(
                f"{where} cannot be imported: {type(problem).__name__}: {problem}; "
                f"mend or uninstall {plugin.package.split(' ')[0]}"
            ) from problem
        if not isinstance(found, form):
            raise PluginFailed(f"{where}: {plugin.entry.value} is no {form.__module__}.{form.__name__}; update the package")
        return found


SOURCES = Registry(
    "insar_anomaly.sources",
    "source",
    {
        "licsar": "insar_anomaly.sources.licsar:REGISTRATION",
        "hyp3": "insar_anomaly.sources.hyp3:REGISTRATION",
        "aria": "insar_anomaly.sources.aria:REGISTRATION",
        "nisar": "insar_anomaly.sources.nisar:REGISTRATION",
        "disp": "insar_anomaly.sources.disp:REGISTRATION",
        "folder": "insar_anomaly.sources.folder:REGISTRATION",
    },
)
"""Layouts of archives; a registration is a `sources.base.Registration`."""

DETECTORS = Registry(
    "insar_anomaly.detectors",
    "detector",
    {
        "padim": "insar_anomaly.detectors.padim:REGISTRATION",
        "matched_filter": "insar_anomaly.detectors.matched_filter:REGISTRATION",
        "ganomaly": "insar_anomaly.detectors.ganomaly:REGISTRATION",
        "diffusion": "insar_anomaly.detectors.diffusion:REGISTRATION",
        "cnn": "insar_anomaly.detectors.cnn:REGISTRATION",
    },
)
"""Methods that score tiles; a registration is a `detectors.base.Registration`."""

CHANNELS = Registry(
    "insar_anomaly.channels",
    "channel",
    {
        "files": "insar_anomaly.notify.files:REGISTRATION",
        "webhook": "insar_anomaly.notify.webhook:REGISTRATION",
        "email": "insar_anomaly.notify.email:REGISTRATION",
        "apprise": "insar_anomaly.notify.apprise:REGISTRATION",
        "command": "insar_anomaly.notify.command:REGISTRATION",
    },
)
"""Ways to deliver notices; a registration is a `notify.message.Registration`."""


@cache
def _plugins(group: str) -> list[Plugin]:
    found = []
    for entry in entry_points(group=group):
        package = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "without a name"
        found.append(Plugin(entry.name, package, entry))
    return sorted(found, key=lambda plugin: (plugin.kind, plugin.package))
