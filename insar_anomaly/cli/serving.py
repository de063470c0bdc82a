"""The endpoint behind the links of notices: serve."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import TYPE_CHECKING

from insar_anomaly.cli.exits import Exit
from insar_anomaly.cli.opened import file_of
from insar_anomaly.errors import CatalogueError, UsageError

if TYPE_CHECKING:
    from insar_anomaly.config import Config
    from insar_anomaly.names import FlagName


def serve_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `serve`."""
    sub.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="address to listen at (default: 127.0.0.1)")
    sub.add_argument(
        "--port", type=_port, default=8080, metavar="N", help="port to listen at (default: 8080; 0: any free one)"
    )


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give a number from 0 to 65535")
    return int(text)


def serve_command(args: argparse.Namespace) -> int:
    """Answer until somebody stops it."""
    from insar_anomaly.config.load import load, secret
    from insar_anomaly.notify.links import Links
    from insar_anomaly.serve import server

    config = load(file_of(args), secrets=False)
    if config.serve.url is None:
        raise UsageError('[serve] url is not set: write url = "https://..." under which people reach this, and secret_env')
    links = Links(config.serve.url, secret(config.serve.secret_env) or "", config.serve.link_days)
    draw, volcanoes = partial(_drawn, config), _names(config.catalogue)
    try:
        made = server(config.ledger, links, host=args.host, port=args.port, draw=draw, volcanoes=volcanoes)
    except OSError as problem:
        raise UsageError(f"--host {args.host} --port {args.port}: {problem.strerror or problem}") from None
    host, port = made.server_address[:2]
    print(f"listening at http://{host!s}:{port}; links lead to {config.serve.url}", file=sys.stderr, flush=True)
    with made:
        made.serve_forever()
    return Exit.OK


def _drawn(config: Config, flag: FlagName, language: str) -> bytes:
    """The figure of a flag, from the store; the installation is opened for it alone."""
    from insar_anomaly.pipeline import open_installation
    from insar_anomaly.pipeline.redraw import picture_of

    with open_installation(config) as s:
        return picture_of(s, flag, language)


def _names(file: str) -> dict[int, str]:
    """The volcanoes' names by number; none where the catalogue cannot be read: links are answered all the same."""
    from insar_anomaly import catalogue

    try:
        return {volcano.gvp: volcano.name for volcano in catalogue.load(file)}
    except CatalogueError as problem:
        print(f"pages have no names of volcanoes: {problem}", file=sys.stderr)
        return {}
