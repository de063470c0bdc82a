"""What the endpoint shows, as HTML. Everything that comes from elsewhere is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from insar_anomaly.ledger.people_rows import ActRow, Label
from insar_anomaly.ledger.records import EpisodeRow
from insar_anomaly.names import FlagName

_HEAD = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    "<title>{title}</title></head><body><main><h1>{title}</h1>{body}</main></body></html>"
)


def page(title: str, body: str) -> str:
    """A whole page; `body` is HTML."""
    return _HEAD.format(title=escape(title), body=body)


def message(title: str, words: str) -> str:
    """A page with one paragraph."""
    return page(title, f"<p>{escape(words)}</p>")


def flag_page(row: EpisodeRow, acts: Sequence[ActRow], *, action: str, muted: str | None) -> str:
    """The page of a flag: what it is, what was done, and the forms. `action` is where they post to."""
    name = FlagName(row.stack, row.number)
    end = f", {row.state} on {row.cleared}" if row.cleared else ""
    done = "".join(f"<li>{escape(_said(act))}</li>" for act in acts)
    body = (
        f"<p>State: {escape(str(row.state))}. Time: {row.since} to {row.until}{end}. Highest score {row.peak_score:.4g} in "
        f"{escape(row.peak_pair)}, threshold {row.threshold:.4g}.</p>"
        + (f"<p>Muted until {escape(muted)}.</p>" if muted else "")
        + (f"<h2>What was done</h2><ul>{done}</ul>" if done else "<p>Nobody has done anything yet.</p>")
        + _form(action, "ack", "Acknowledge", "")
        + _form(action, "label", "Say what it is", _labels())
        + _form(action, "mute", "Mute this volcano", '<p><label>Until <input type="date" name="until" required></label></p>')
    )
    return page(f"Screening flag {name}", body)


def _labels() -> str:
    options = "".join(f'<option value="{one}">{one}</option>' for one in Label)
    return f'<p><label>It is <select name="label">{options}</select></label></p>'


def _form(action: str, act: str, title: str, fields: str) -> str:
    return (
        f'<h2>{title}</h2><form method="post" action="{escape(action, quote=True)}">'
        f'<input type="hidden" name="act" value="{act}">{fields}'
        '<p><label>Your name <input name="by" required maxlength="100" autocomplete="name"></label></p>'
        '<p><label>Note <input name="note" maxlength="1000"></label></p>'
        f"<p><button>{title}</button></p></form>"
    )


def _said(act: ActRow) -> str:
    label = f" as {act.label}" if act.label else ""
    until = f" until {act.until}" if act.until else ""
    note = f": {act.note}" if act.note else ""
    return f"{act.at:%Y-%m-%d %H:%M} UTC {act.by} {act.kind}{label}{until}{note}"
