"""The outbox is delivered."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from insar_anomaly.config.load import secret
from insar_anomaly.errors import Busy
from insar_anomaly.ledger.leases import NOTICES
from insar_anomaly.ledger.records import NoticeRow
from insar_anomaly.names import FlagName
from insar_anomaly.notify import wording
from insar_anomaly.notify.links import Links, Purpose
from insar_anomaly.notify.message import Message
from insar_anomaly.notify.payload import Payload
from insar_anomaly.pipeline.dispatch import dispatch
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.leases import patiently
from insar_anomaly.pipeline.run import Run
from insar_anomaly.pipeline.telling import Telling, as_it_stands, telling
from insar_anomaly.spoken import DEFAULT


def deliver_notices(s: Installation, run: Run, *, only: Collection[str] | None = None) -> None:
    """Send what waits in the outbox, see `dispatch`. What does not arrive stays there for the next run, and fails this one.

    One run delivers at a time, so that nothing is sent twice; another one waits, and finds what is left. `only` as in
    `dispatch`.
    """
    cluster = s.config.cluster
    waiting = {"lease_s": cluster.lease_s, "wait_s": cluster.wait_s}
    try:
        with patiently(s.ledger, [NOTICES], what=run.what, say=partial(_waits, run), **waiting) as held:
            dispatch(s, run, held, _message, only)
    except Busy as problem:
        run.fail("every stack", "notify", problem)


def _addresses(s: Installation, told: Payload, now: datetime, language: str) -> tuple[str | None, str | None]:
    """The links to the page and to the figure of a notice's flag; None where nobody serves them."""
    its = s.config.serve
    if its.url is None:
        return None, None
    links, flag = Links(its.url, secret(its.secret_env) or "", its.link_days), FlagName.of(told.flag)
    chosen = language if language != DEFAULT else None  # where nobody chose, the page is in the reader's own
    return links.of(flag, now, Purpose.FLAG, chosen), links.of(flag, now, Purpose.FIGURE, language)


def _waits(run: Run, words: str) -> None:
    run.warn(f"this run waited for the delivery of notices: {words}")


def _message(s: Installation, run: Run, row: NoticeRow, *, language: str, whole: bool) -> Message:
    """The message of one flag's notice; without `whole` it is told in a list, and gets no figure."""
    found = (
        telling(s, run, row.payload, language) if whole else Telling(as_it_stands(s, run, Payload.read(row.payload)), None)
    )
    now = datetime.now(UTC)
    page, figure_url = _addresses(s, found.told, now, language)
    told = replace(found.told, link=page)
    return Message(
        key=row.key,
        kind=row.kind,
        stack=row.stack,
        subject=wording.subject(told, language),
        body=wording.body(told, language),
        payload=told.as_dict(),
        figure=found.figure,
        created=now,
        language=language,
        html=wording.html(told, language, figure=found.figure is not None),
        brief=wording.chat(told, language),
        figure_url=figure_url,
    )
