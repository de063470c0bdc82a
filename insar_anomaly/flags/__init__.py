"""The life of a screening flag: `machine`, a pure function from scores to episodes and notices; `states`, its states."""
