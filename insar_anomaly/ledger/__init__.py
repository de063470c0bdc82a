"""What was seen, assessed, flagged and sent, in one database.

`ledger` is the open ledger, `records` its rows; below them `database` (opened, locked, brought up to date), `tables`, `sql`
and `migrations`. No other room knows SQL.
"""

from insar_anomaly.ledger.ledger import Ledger, check_url
from insar_anomaly.ledger.records import EpisodeRow, ModelRow, NewNotice, NoticeRow, PairRow, ScoreRow

__all__ = ["EpisodeRow", "Ledger", "ModelRow", "NewNotice", "NoticeRow", "PairRow", "ScoreRow", "check_url"]
