"""The endpoint behind the links of notices: serve."""

from __future__ import annotations

import argparse
import sys

from insar_anomaly.cli.exits import Exit
from insar_anomaly.cli.opened import file_of
from insar_anomaly.errors import UsageError


def serve_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `serve`."""
    sub.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="address to listen at (default: 127.0.0.1)")
    sub.add_argument(
        "--port", type=int, default=8080, metavar="N", help="port to listen at (default: 8080; 0: any free one)"
    )


def serve_command(args: argparse.Namespace) -> int:
    """Answer until somebody stops it."""
    from insar_anomaly.config.load import load, secret
    from insar_anomaly.notify.links import Links
    from insar_anomaly.serve import server

    config = load(file_of(args), secrets=False)
    if config.serve.url is None:
        raise UsageError('[serve] url is not set: write url = "https://..." under which people reach this, and secret_env')
    links = Links(config.serve.url, secret(config.serve.secret_env) or "", config.serve.link_days)
    try:
        made = server(config.ledger, links, host=args.host, port=args.port)
    except OSError as problem:
        raise UsageError(f"--host {args.host} --port {args.port}: {problem.strerror or problem}") from None
    host, port = made.server_address[:2]
    print(f"listening at http://{host!s}:{port}; links lead to {config.serve.url}", file=sys.stderr, flush=True)
    with made:
        made.serve_forever()
    return Exit.OK
