"""The rehearsal of a global night: everything simulated, on a real S3 server, measured whole.

`archive` writes the simulated world, `rehearsal` prepares its past and runs the nights, `night` is one night in a process of
its own, `server` a counting S3 server, `command` the table, `arguments` the arguments.
"""
