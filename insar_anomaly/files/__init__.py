"""Files that people write: their text in whatever encoding it was saved, and their mistakes in plain English.

`text` decodes a file, `lines` finds the line of a key, `allowed` says what a setting takes, `mistakes` turns what pydantic
found into a sentence with the value that was given and what is allowed. Configuration and catalogue both speak through it.
"""
