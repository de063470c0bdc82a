"""Nightly screening of interferograms of volcanoes: what does not look like this volcano's own quiet past?

The main path is `pipeline.night.nightly`: ingest, assess, flag, deliver. One *stack* (a volcano seen on one satellite frame)
runs through all rooms. In the order in which data flows:

==============  ======================================================================================================
`errors`        what can go wrong, grouped by what the caller does about it
`units`         constants of the satellites and of the Earth
`names`         pairs, intervals, acquisitions, stacks, couples, kinds of evidence: parsed, printed, ordered here only
`catalogue`     volcanoes, their frames, boxes, exclusion polygons and contacts
`config`        every setting, once: its meaning, default and bounds
`sources`       archives of interferograms: list them, open a volcano's window
`stack`         the schema of what is stored, prechecks with numbered verdicts, the store (Zarr in Icechunk)
`tiles`         lazy: mask, correct, reference, fill, range
`evidence`      what is assessed: pairs, intervals fused from many pairs, acquisitions alone, both directions
`detectors`     `Detector.fit(tiles) -> Scorer`, `Scorer.score(tiles) -> scores`
`calibration`   out-of-sample trial, threshold, detectability in cm, metrics, labels
`flags`         the flag's life: (state, scores) -> (state, notices)
`ledger`        what was seen, assessed, flagged and sent: SQLite or PostgreSQL
`notify`        channels, and what a notice says
`report`        figures and the night's digest
`simulate`      interferograms from physics, for tests, training and the demonstration
`pipeline`      opens an installation, runs the stages on workers, commits
`tools`         demo, doctor, benchmark, pretrain
`cli`           the command line
==============  ======================================================================================================

No room imports one that stands below it in this list without need; the exact law is in ``pyproject.toml`` and is checked.
"""

__version__ = "0.1.0"
