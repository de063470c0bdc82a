"""The process that talks to Apprise's services: a JSON object comes in, the services that failed go out.

It imports nothing of this package, so that it starts at once and wherever the package lies.
"""

from __future__ import annotations

import json
import logging
import sys

import apprise


def main() -> int:
    """Tell every service of the job on standard input; what they complain of goes to standard error."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    job = json.load(sys.stdin)
    failed = []
    for number, url in enumerate(job["urls"], 1):
        service = apprise.Apprise.instantiate(url)
        name = f"URL {number} ({url.partition('://')[0]})"
        if service is None:
            failed.append(f"{name}, which Apprise does not know")
            continue
        figure = job["figure"] if service.attachment_support else None
        attached = apprise.AppriseAttachment(figure) if figure else None
        if not service.notify(title=job["title"], body=job["body"], body_format=apprise.NotifyFormat.TEXT, attach=attached):
            failed.append(name)
    sys.stdout.write(json.dumps({"failed": failed}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
