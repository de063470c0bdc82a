"""The small HTTP endpoint behind the links of notices: a page per flag, and a POST that acts. No accounts, no other page."""

from insar_anomaly.serve.server import server

__all__ = ["server"]
