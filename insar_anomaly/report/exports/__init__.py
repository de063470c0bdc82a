"""The ledger's flags, scores and stacks for other programs: rows in, text out.

`columns` says what each column is, once, and makes the rows; `places` puts a box on a map; `tables`, `geojson`, `stac` and
`cap` write the forms; `status` is the installation's state. Only `gather` reads, from a ledger that is open for reading.
"""
