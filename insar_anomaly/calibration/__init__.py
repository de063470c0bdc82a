"""How good a stack's scores are, and where its threshold lies.

`trial` scores quiet evidence out of sample, with and without injected sources; `threshold` chooses from that;
`detectability` says in cm what would have been seen; `metrics` has AUROC, rates and their intervals; `labels` reads what
people judged; `directions` is the trial of two frames together.
"""
