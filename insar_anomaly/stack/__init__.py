"""A stack: the interferograms of one volcano on one frame, in order of time on one fixed grid.

`schema` says what is stored (dims, dtype, units), `prechecks` what may enter, `store` reads and writes stacks, models and
scores in Zarr (Icechunk). This door is empty: who computes on a stack imports `schema` alone, and needs no storage library.
"""
