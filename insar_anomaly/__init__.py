"""Nightly screening of Sentinel-1 interferograms of volcanoes: what does not look like this volcano's own quiet past?

The map, in the order in which data flows; one *stack* (a volcano seen on one satellite frame) runs through all of it:

==================  ==================================================================================
`files`             what people write: text in any encoding, mistakes in plain English
`catalogue`         volcanoes, their frames and boxes
`sources`           archives of interferograms: list them, open a volcano's window
`ingest`            what is missing; prechecks with numbered verdicts
`store`             stacks, models and scores in Zarr (Icechunk): one append, one transaction
`preprocess`        lazy: mask, reference, trends, fill, range -> tiles
`fusion`            many pairs -> what happened between two acquisitions, in the form of tiles
`evidence`          what is scored: pairs, intervals as acquisitions come, acquisitions alone
`features`          frozen backbone: tiles -> embeddings of patches
`distribution`      `Moments` (a sum) and `PatchGaussian` (its end), the four distances
`detectors`         `Detector.fit(tiles) -> Scorer`, `Scorer.score(tiles) -> scores`
`trials`            quiet evidence, and the same with injected sources, scored out of sample
`calibrate`         a stack's threshold from their ROC
`directions`        ascending and descending intervals that share time, judged together
`flags`             the flag's life: (state, evidence) -> (state, notices)
`notify`            channels: files, webhook, e-mail
`report`            figures and the night's digest
==================  ==================================================================================

beside it `simulate` (interferograms from physics), `pretrain` (the backbone's training on them), `evaluate` (AUROC and
intervals), `detectability` (in cm), `labels`, `ledger` (what was seen, scored, flagged, sent), `cluster` (Dask workers),
`tasks` (what a worker does), `pipeline` (opens, calls, commits), `cli`.
"""

__version__ = "0.1.0"
