"""The life of a screening flag: `machine` is a pure function from scores to states and notices."""
