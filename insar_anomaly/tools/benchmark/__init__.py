"""Every detector on one labelled set: the same pairs, the same split by date, the same budget, one table.

``plan(arguments, stacks)`` says what is measured, ``run(installation, run, plan, out)`` measures it, ``write(out, plan,
measured)`` shows it. `command` has the arguments. What is heavy is imported when it is asked for: the command line reads
`command` alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from insar_anomaly.tools.benchmark.cases import Case, Plan, case_study_cases, case_study_volcanoes, plan
    from insar_anomaly.tools.benchmark.measure import Measured, run
    from insar_anomaly.tools.benchmark.systems import BUDGETS, SYSTEMS, System, settings_of, systems
    from insar_anomaly.tools.benchmark.tables import as_json, markdown, summed, write

_PLACES = {
    "cases": ("Case", "Plan", "case_study_cases", "case_study_volcanoes", "plan"),
    "measure": ("Measured", "run"),
    "systems": ("BUDGETS", "SYSTEMS", "System", "settings_of", "systems"),
    "tables": ("as_json", "markdown", "summed", "write"),
}

__all__ = [
    "BUDGETS",
    "SYSTEMS",
    "Case",
    "Measured",
    "Plan",
    "System",
    "as_json",
    "case_study_cases",
    "case_study_volcanoes",
    "markdown",
    "plan",
    "run",
    "settings_of",
    "summed",
    "systems",
    "write",
]


def __getattr__(name: str) -> Any:
    for module, names in _PLACES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
