"""One file per schema change, oldest first; a released file is never edited."""
