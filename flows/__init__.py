"""Prefect flows: thin, a few tens of tasks however many pairs. The only place that imports Prefect.

Prefect reads its settings when it is imported, so they are set here, before any flow is: a server that starts slowly on an
empty home may take two minutes, and nothing is reported to anybody.
"""

import os

os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
