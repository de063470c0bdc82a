"""The rehearsal's arguments and what its help says. Imports nothing heavy."""

from __future__ import annotations

import argparse

WORDS = """\
Everything is simulated: volcanoes, frames, interferograms and their past. Three volcanoes share an ascending and a
descending frame; every group of three has the same rasters under other names. The past of the first group is ingested,
fitted and screened; the others get copies of it. Then one acquisition arrives on every frame, and that night runs whole:
ingest, assess, flag, notify, digest. What is measured is this night, not the preparation. Pairs are small, and the default
detector is not the one of real nights: the table shows how the cost grows with the number of volcanoes, and what is spent
beside the network."""


def arguments(sub: argparse.ArgumentParser) -> None:
    """Add the command's own arguments."""
    sub.description = WORDS
    sub.formatter_class = argparse.RawDescriptionHelpFormatter
    sub.add_argument("--volcanoes", type=_positive, required=True, metavar="N", help="volcanoes; each has two stacks")
    sub.add_argument(
        "--pixels", type=_pixels, default=32, metavar="P", help="pixels per side of a volcano's box (default 32)"
    )
    sub.add_argument("--nights", type=_positive, default=1, metavar="K", help="nights, one after the other (default 1)")
    sub.add_argument(
        "--folder", default="rehearsal", help="folder for configuration, ledger and digest (default: rehearsal)"
    )
    sub.add_argument(
        "--s3",
        default="local",
        metavar="URL",
        help="endpoint of an S3 server whose buckets rehearsal-archive and rehearsal-store may be filled; its requests are "
        "not counted. Default: local, a moto server in a process of its own",
    )
    sub.add_argument(
        "--latency", type=_whole, default=0, metavar="MS", help="the local server answers each request after MS milliseconds"
    )
    sub.add_argument("--workers", type=_whole, default=2, metavar="W", help="worker processes; 0: none (default 2)")
    sub.add_argument("--detector", default="matched_filter", help="detector (default: matched_filter, small and fast)")
    sub.add_argument("--keep", action="store_true", help="keep the folder; without it the folder is removed at the end")


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def _pixels(text: str) -> int:
    if not text.isdecimal() or int(text) < 16:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 16, the smallest stack")
    return int(text)
