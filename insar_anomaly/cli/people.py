"""What people do with flags: look at one, acknowledge, label; and what was done."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from insar_anomaly.cli.arguments import words_given
from insar_anomaly.cli.exits import Exit
from insar_anomaly.cli.opened import ledger_of
from insar_anomaly.cli.tables import json_text
from insar_anomaly.errors import UsageError
from insar_anomaly.names import FlagName, Target, volcano_of
from insar_anomaly.spoken import one_line

if TYPE_CHECKING:
    from datetime import date

    from insar_anomaly.flags.told import Told
    from insar_anomaly.ledger import ActRow, EpisodeRow, Ledger, NoticeRow

Named = TypeVar("Named")
_LABELS = ("volcanic", "atmosphere", "non-volcanic", "processing", "unsure")


def ack_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `ack`."""
    flag_argument(sub)
    by_argument(sub)
    sub.add_argument(
        "--note", type=words_given, metavar="TEXT", help="what you found; it is kept with your name and the time"
    )


def ack_command(args: argparse.Namespace) -> int:
    """Acknowledge a flag."""
    from insar_anomaly.ledger import ActKind

    with ledger_of(args) as ledger:
        return did(args, ledger, act_of(args, args.flag, ActKind.ACKNOWLEDGED, note=args.note or ""))


def label_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `label`."""
    flag_argument(sub)
    words = "what the flag shows; the next fit does not learn the time of a volcanic flag as quiet"
    sub.add_argument("label", choices=_LABELS, help=words)
    by_argument(sub)
    sub.add_argument("--confidence", type=_share, default=1.0, metavar="P", help="how sure you are, 0 to 1 (default: 1)")
    sub.add_argument("--note", type=words_given, metavar="TEXT", help="why; it is kept with your name and the time")


def label_command(args: argparse.Namespace) -> int:
    """Say what a flag shows."""
    from insar_anomaly.ledger import ActKind, Label

    given = {"label": Label(args.label), "confidence": args.confidence}
    with ledger_of(args) as ledger:
        return did(args, ledger, act_of(args, args.flag, ActKind.LABELLED, note=args.note or "", **given))


def show_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `show`."""
    flag_argument(sub)


def show_command(args: argparse.Namespace) -> int:
    """Show one flag: its state, its notices, and what people did with it."""
    from insar_anomaly.cli.muting import mute_columns, mute_words
    from insar_anomaly.flags.mutes import muted_until, standing

    today = datetime.now(UTC).date()
    with ledger_of(args) as ledger:
        row = _flag(ledger, args.flag)
        acts = [act for act in ledger.acts(args.flag.stack) if act.episode == row.number]
        notices = _notices_of(row, ledger.notices())
        mutes = ledger.mutes()
        rare, usual, heard = _rarest(ledger, row), _of_threshold(ledger, row), ledger.told_of(args.flag)
    muted, until = standing(mutes, today, row.stack), muted_until(mutes, row.stack, today)
    if args.json:
        told = [{"key": n.key, "kind": n.kind, "delivered_at": n.delivered_at, "dropped": n.dropped} for n in notices]
        content = {"flag": str(args.flag), **_plain(row, heard), "return_period_years": rare, "muted_until": until}
        content |= {"threshold_return_period_years": usual, "mutes": [mute_columns(one) for one in muted]}
        print(json_text(content | {"notices": told, "acts": [vars(act) for act in acts]}))
        return Exit.OK
    print("\n".join(_shown(row, heard, rare, usual)))
    for one in muted:
        print(f"{one.target} is {mute_words(one)}")
    if until:
        print(f"until {until} notices of this flag wait, except that of its end where its beginning has been sent")
    for notice in notices:
        print(f"notice {notice.kind} by {notice.channel}: {_sent(notice)}{_held(notice, until)}")
    for act in acts:
        print(_said(act))
    return Exit.OK


def history_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `history`."""
    words = "the volcano's number, or a stack; without it, all volcanoes in one table"
    sub.add_argument("target", nargs="?", type=named(Target.of), metavar="GVP|STACK", help=words)


def history_command(args: argparse.Namespace) -> int:
    """What was flagged of a volcano and what people did; or the labels of all volcanoes in one table."""
    from insar_anomaly.flags.labels import NOTE, Labelled, precision
    from insar_anomaly.flags.told import Told

    with ledger_of(args) as ledger:
        rows = [r for r in ledger.episodes() if args.target is None or args.target.covers(r.stack)]
        heard = ledger.told()
        if args.target is not None:
            insist_known(ledger, args.target)
        acts = [act for act in ledger.acts() if args.target is None or _touches(args.target, act)]
    told = [heard.get(FlagName(row.stack, row.number), Told.NOT_TOLD) for row in rows]
    labels = {
        (act.stack, act.episode or 0): Labelled(str(act.label), act.confidence) for act in acts if act.label is not None
    }
    table = precision([(r.stack, r.number, one is not Told.NOT_TOLD) for r, one in zip(rows, told, strict=True)], labels)
    if args.json:
        flags = [
            {"flag": str(FlagName(row.stack, row.number)), **_plain(row, one)} for row, one in zip(rows, told, strict=True)
        ]
        content = {"flags": flags, "acts": [vars(act) for act in acts], "labels": [vars(one) for one in table]}
        print(json_text(content))
        return Exit.OK
    if args.target is not None:
        for row, one in zip(rows, told, strict=True):
            print("\n".join(_shown(row, one)))
        for act in acts:
            print(_said(act, of=True))
    for precise in table:
        print(precise.words)
    if table:
        print(NOTE)
    if not (rows or acts):
        print("no flags, and nobody did anything")
    return Exit.OK


# -- arguments -------------------------------------------------------------------------------------------------------


def flag_argument(sub: argparse.ArgumentParser) -> None:
    """Add the name of a flag."""
    words = "the flag, GVP/FRAME:NUMBER, as `flags` and notices name it"
    sub.add_argument("flag", type=named(FlagName.of), metavar="FLAG", help=words)


def by_argument(sub: argparse.ArgumentParser) -> None:
    """Add the name of who acts."""
    sub.add_argument("--by", required=True, type=_somebody, metavar="NAME", help="who you are; it is kept")


def _somebody(text: str) -> str:
    if not (name := one_line(text)):
        raise argparse.ArgumentTypeError("give a name: who reads this later wants to ask somebody")
    return name


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value


def named(parse: Callable[[str], Named]) -> Callable[[str], Named]:
    """A type of an argument: what `parse` makes of it, whose ValueError says what is wrong."""

    def parsed(text: str) -> Named:
        try:
            return parse(text)
        except ValueError as problem:
            raise argparse.ArgumentTypeError(str(problem)) from None

    return parsed


# -- inside ----------------------------------------------------------------------------------------------------------


def act_of(args: argparse.Namespace, what: FlagName | Target, kind: str, **more: object) -> ActRow:
    """What the person at the command line does now."""
    from insar_anomaly.ledger import ActKind, ActRow

    stack, number = (what.stack, what.number) if isinstance(what, FlagName) else (str(what), None)
    return ActRow(stack, number, ActKind(kind), args.by, datetime.now(UTC), **more)  # type: ignore[arg-type]


def did(args: argparse.Namespace, ledger: Ledger, act: ActRow) -> int:
    """Write an act down and say so."""
    if act.episode is not None:
        _flag(ledger, FlagName(act.stack, act.episode))
    row = ledger.record_act(act)
    if args.json:
        flag = _plain(row, ledger.told_of(FlagName(row.stack, row.number))) if row else None
        print(json_text(vars(act) | {"flag": flag}))
    elif not args.quiet:
        state = f"; the flag is {row.state}" if row else ""
        print(f"{_said(act, of=True)}{state}")
    return Exit.OK


def _flag(ledger: Ledger, name: FlagName) -> EpisodeRow:
    """The flag of this name. Raises UsageError with what there is."""
    import difflib

    rows = ledger.episodes()
    for row in rows:
        if (row.stack, row.number) == (name.stack, name.number):
            return row
    every = [str(FlagName(row.stack, row.number)) for row in rows]
    near = difflib.get_close_matches(str(name), every, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(near)}?" if near else f"; the ledger has {len(every)} flags"
    raise UsageError(f"there is no flag {name}{hint}")


def insist_known(ledger: Ledger, target: Target) -> None:
    """Raise UsageError where the ledger knows no stack that the target covers: a mute of a wrong number mutes nothing."""
    stacks = {str(stack) for stack in ledger.stacks()} | {row.stack for row in ledger.episodes()}
    if not any(target.covers(stack) for stack in stacks):
        volcanoes = sorted({volcano_of(stack) for stack in stacks})
        few = ", ".join(map(str, volcanoes[:5])) + (", ..." if len(volcanoes) > 5 else "")
        raise UsageError(f"the ledger holds nothing of {target}; it holds {len(volcanoes)} volcanoes: {few}")


def _touches(target: Target, act: ActRow) -> bool:
    """True where an act is about the target or a part of it, or about what the target is a part of."""
    if "/" in act.stack:
        return target.covers(act.stack)
    other = Target(act.stack)
    return other == target or ("/" in target.name and other.covers(target.name))


def _rarest(ledger: Ledger, row: EpisodeRow) -> float | None:
    """The return period of the flag's highest score, years; None where it is not known."""
    model = ledger.model(row.stack, row.model)
    found = ledger.assessments(row.stack, model.evidence) if model else []
    mine = [one.return_period for one in found if one.pair == row.peak_pair and one.return_period is not None]
    return max(mine, default=None)


def _plain(row: EpisodeRow, told: Told) -> dict[str, object]:
    """A flag for JSON: `told` says whether a notice of it was sent, `told_score` the highest score that it tells of."""
    from insar_anomaly.flags.machine import names_of

    return {**vars(row), "told": told.value, "told_score": row.told, "standing": names_of(row.standing)}


def _of_threshold(ledger: Ledger, row: EpisodeRow) -> float | None:
    """The return period of the threshold that the flag is over, years; None where it lies below what is known."""
    from insar_anomaly.pipeline.level import tail_of

    model = ledger.model(row.stack, row.model)
    tail = tail_of(model) if model else None
    return None if tail is None or row.threshold < tail.edge else tail.period(row.threshold).value


def _notices_of(row: EpisodeRow, every: Sequence[NoticeRow]) -> list[NoticeRow]:
    return [one for one in every if one.stack == row.stack and f"{row.stack}:{row.number}:" in one.key]


def _shown(row: EpisodeRow, told: Told, rare: float | None = None, usual: float | None = None) -> Sequence[str]:
    """The lines of a flag: `rare` is the return period of its highest score and `usual` that of its threshold, years."""
    from insar_anomaly.calibration.return_period import words_of_years

    end = f", {row.state} on {row.cleared}" if row.cleared else ""
    peak = f", a score that quiet ground reaches once in {words_of_years(rare)}" if rare else ""
    over = f", which quiet ground passes once in {words_of_years(usual)}" if usual else ""
    return [
        f"{FlagName(row.stack, row.number)}: {row.state}, {row.since} to {row.until}{end}",
        f"  peak {row.peak_score:.4g} in {row.peak_pair}{peak}",
        f"  threshold {row.threshold:.4g}{over}; {told.value}",
    ]


def _held(notice: NoticeRow, until: date | None) -> str:
    """Why a notice waits, where the flag is muted."""
    return f" for the end of the mute, {until}" if until and notice.waits and not notice.ends else ""


def _sent(notice: NoticeRow) -> str:
    if notice.delivered_at:
        return f"arrived {notice.delivered_at:%Y-%m-%d %H:%M} UTC"
    return f"dropped: {notice.dropped}" if notice.dropped else "waits"


def _said(act: ActRow, *, of: bool = False) -> str:
    """One line: when, who, what, why."""
    what = f" {act.stack}{f':{act.episode}' if act.episode else ''}" if of else ""
    label = f" as {act.label} (confidence {act.confidence:g})" if act.label and act.confidence is not None else ""
    until = f" until {act.until}" if act.until else ""
    note = f": {act.note}" if act.note else ""
    return f"{act.at:%Y-%m-%d %H:%M} UTC {act.by} {act.kind}{what}{label}{until}{note}"
