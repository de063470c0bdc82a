"""Tools around the nightly screening.

`demo` simulates an installation, `layouts` writes simulated archives, `doctor` examines an installation, `benchmark`
compares detectors, `pretrain` trains the backbone.
"""
