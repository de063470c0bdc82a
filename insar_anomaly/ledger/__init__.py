"""What was seen, assessed, flagged and sent, in one database.

`ledger` is the open ledger, put together from one file per thing written down: `runs`, `costs`, `pairs`, `states`,
`models`, `assessments`, `episodes`, `events`, `canaries`, `people`, `outbox`, `pulses`, `copies`. `records` and
`people_rows` are its rows.
Below them `database` (opened, locked, copied, brought up to date), `tables` and their `columns`, `sql` and `migrations`. No
other room knows SQL.
"""

from insar_anomaly.ledger.ledger import Ledger, check_url
from insar_anomaly.ledger.people_rows import ActKind, ActRow, Label, PoolRow
from insar_anomaly.ledger.records import (
    CanaryRow,
    CostRow,
    Decision,
    EpisodeRow,
    EventRow,
    FailureRow,
    ModelRow,
    NewNotice,
    NoticeRow,
    PairRow,
    RunRow,
    RunStatus,
    ScoredAssessment,
    ScoredPair,
    ScoreRow,
    Seen,
)

__all__ = [
    "ActKind",
    "ActRow",
    "CanaryRow",
    "CostRow",
    "Decision",
    "EpisodeRow",
    "EventRow",
    "FailureRow",
    "Label",
    "Ledger",
    "ModelRow",
    "NewNotice",
    "NoticeRow",
    "PairRow",
    "PoolRow",
    "RunRow",
    "RunStatus",
    "ScoreRow",
    "ScoredAssessment",
    "ScoredPair",
    "Seen",
    "check_url",
]
