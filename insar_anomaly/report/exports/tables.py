"""Rows as CSV: RFC 4180, one header line, columns in a fixed order."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import date

from insar_anomaly.report.exports.columns import Column, Of, Value, rows


def csv_text(columns: Sequence[Column[Of]], every: Sequence[Of]) -> str:
    """The table: lines end with CR LF, dates are ISO 8601, truth is ``true`` or ``false``, nothing is an empty field.

    Numbers have all digits that are needed to read the same number back.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([column.name for column in columns])
    writer.writerows([[_cell(value) for value in row.values()] for row in rows(columns, every)])
    return out.getvalue()


def _cell(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, date) else str(value)
