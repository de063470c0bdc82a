"""Nothing is lost by a mistake: dates in the future, and notices of flags that were too old for one."""

from __future__ import annotations

import json
import subprocess
from contextlib import closing
from datetime import UTC, date, datetime, timedelta

import installation
import pytest
import sqlalchemy as sa
from installation import AS_OF, DATES, RISING, command, flagged

from insar_anomaly import cli, pipeline
from insar_anomaly.errors import UsageError
from insar_anomaly.ledger import ActKind, ActRow, Ledger, NewNotice
from insar_anomaly.ledger.outbox import OWED, put_in_outbox
from insar_anomaly.names import Pair
from insar_anomaly.pipeline.tonight import date_of
from insar_anomaly.spoken import LANGUAGES

WRONG = AS_OF + timedelta(days=1000)
FLAG = f"{RISING}:1"


@pytest.fixture
def rising(learned, tmp_path):
    """The volcano that rises, fitted; nothing after its quiet past was read."""
    place = installation.copy(learned, tmp_path / "here")
    place.only(990002)
    return place


@pytest.fixture(scope="module")
def once_mistaken(learned, tmp_path_factory):
    """The same after a night under a date that is years too late: its flag was too old for a notice."""
    place = installation.copy(learned, tmp_path_factory.mktemp("mistaken"))
    place.only(990002)
    run, digest = place.nightly(WRONG)
    assert (digest["old_flags"], digest["new_notices"], place.notices, run.failures) == (1, 0, [], [])
    return place


@pytest.fixture
def mistaken(once_mistaken, tmp_path):
    """A copy of the test's own."""
    return installation.copy(once_mistaken, tmp_path / "here")


def told(place):
    return [json.loads(file.read_text())["payload"] for file in place.notices]


def test_a_typo_of_the_century_is_refused_and_nothing_is_done(rising):
    before = rising.rows("select count(*) from run")
    for name in ("nightly", "ingest", "backfill"):
        words = command("-c", rising.config, name, "--as-of", "2171-01-01")
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 2, done.stderr
        today = datetime.now(UTC).date()
        assert "2171-01-01, is in the future: today is" in done.stderr
        assert str(today) in done.stderr or str(today - timedelta(1)) in done.stderr
    assert rising.rows("select count(*) from run") == before
    rising.nightly()
    assert [one["kind"] for one in told(rising)] == ["raised"]


def test_every_run_of_python_refuses_the_future_too(rising):
    tomorrow = datetime.now(UTC).date() + timedelta(days=2)
    with pytest.raises(UsageError, match="in the future"), rising.opened("assess", tomorrow):
        pass
    with pytest.raises(UsageError, match="in the future"):
        date_of(date.max)
    assert date_of(date(2020, 2, 29)) == date(2020, 2, 29)


def test_a_repeat_with_the_right_date_sends_what_the_wrong_one_held_back(mistaken):
    run, digest = mistaken.nightly(AS_OF)
    assert (digest["new_notices"], digest["delivered"], run.failures) == (1, 1, [])
    [notice] = told(mistaken)
    assert (notice["kind"], notice["as_of"]) == ("raised", AS_OF.isoformat())
    assert notice["pair_age_days"] == (AS_OF - Pair.of(notice["pair"]).last).days
    assert notice["episode"]["cleared"] is None
    assert any(f"on the night of {WRONG}" in words for words in run.warnings)
    _, again = mistaken.nightly(AS_OF + timedelta(days=1))
    assert (again["delivered"], len(mistaken.notices)) == (0, 1)  # once


def test_what_was_rightly_too_old_is_not_sent_by_a_later_night_nor_by_one_before_it_happened(mistaken):
    mistaken.nightly(WRONG + timedelta(days=1))
    mistaken.change("[detector]", "[flags]\nnotice_max_age_days = 3650\n[detector]")
    mistaken.nightly(WRONG + timedelta(days=2))  # a changed setting wakes nobody for the past
    mistaken.nightly(DATES[15])
    assert mistaken.notices == []


def test_a_flag_that_was_withdrawn_meanwhile_is_not_told(mistaken):
    engine = sa.create_engine(f"sqlite:///{mistaken.folder / 'ledger.sqlite'}")
    with engine.begin() as tx:
        tx.execute(sa.text("update episode set state = 'withdrawn', cleared = until"))
    engine.dispose()
    mistaken.nightly(AS_OF)
    assert mistaken.notices == []
    assert cli.main(["-c", str(mistaken.config), "notices", "--resend", FLAG]) == 2


def test_a_person_sends_the_notice_of_an_old_flag(mistaken, capsys):
    assert cli.main(["-c", str(mistaken.config), "notices", "--all"]) == 0
    listed = capsys.readouterr().out
    assert f"{FLAG}:raised:files: not sent: {OWED}; `insar-anomaly notices --resend {FLAG}` sends it" in listed
    assert cli.main(["-c", str(mistaken.config), "notices", "--resend", FLAG]) == 0
    assert f"notice of flag {FLAG}: 1 new notice, 1 delivered" in capsys.readouterr().out
    [notice] = told(mistaken)
    assert (notice["stack"], notice["kind"]) == (RISING, "raised")
    assert notice["score"] > notice["threshold"]
    assert cli.main(["-c", str(mistaken.config), "notices", "--resend", FLAG]) == 2
    assert "its notice has arrived: files on " in capsys.readouterr().err
    assert len(mistaken.notices) == 1


def test_a_flag_whose_notice_an_earlier_version_lost_is_sent_too(mistaken):
    engine = sa.create_engine(f"sqlite:///{mistaken.folder / 'ledger.sqlite'}")
    with engine.begin() as tx:
        tx.execute(sa.text("delete from notice"))
    engine.dispose()
    assert cli.main(["-q", "-c", str(mistaken.config), "notices", "--resend", FLAG]) == 0
    assert [one["episode"]["number"] for one in told(mistaken)] == [1]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (RISING, "is not the name of a flag: write GVP/FRAME:NUMBER"),
        (f"{RISING}:7", "has no flag 7; its flags are 1"),
        ("990001/001A_00001_010101:1", "is not a stack of"),
    ],
)
def test_a_flag_that_is_not_there_is_named(mistaken, name, words, capsys):
    assert cli.main(["-c", str(mistaken.config), "notices", "--resend", name]) == 2
    assert words in capsys.readouterr().err
    assert flagged(mistaken)
    assert mistaken.notices == []


def test_a_flag_that_was_only_noted_is_not_sent(mistaken, capsys):
    engine = sa.create_engine(f"sqlite:///{mistaken.folder / 'ledger.sqlite'}")
    with engine.begin() as tx:
        tx.execute(sa.text("update episode set state = 'noted', told = null"))
    engine.dispose()
    assert cli.main(["-c", str(mistaken.config), "notices", "--resend", FLAG]) == 2
    assert "was only noted" in capsys.readouterr().err


def notice(kind, **more):
    return NewNotice(f"s:1:{kind}:files", "files", kind, "{}", **more)


def test_what_follows_an_owed_notice_is_owed_and_sent_only_after_it(url):
    with closing(Ledger(url)) as ledger:
        with ledger._transaction(writes=True) as tx:
            assert put_in_outbox(tx, "s", notice("raised", dropped=OWED)) == 0
            assert put_in_outbox(tx, "s", notice("cleared", after="s:1:raised:files")) == 0
        assert [row.kind for row in ledger.owed()] == ["raised", "cleared"]
        assert ledger.pending() == []
        assert ledger.send_owed("s:1:raised:files", '{"new": 1}')
        assert not ledger.send_owed("s:1:raised:files", "{}")
        [waits] = ledger.pending()
        assert waits.payload == '{"new": 1}'
        ledger.delivered(waits.key)
        ledger.put_back("s", notice("raised"))
        assert ledger.pending() == []  # what has arrived stays so


def test_the_cleared_notice_comes_on_a_night_after_it_was_cleared(mistaken):
    """The wrong night saw the flag end; the repeats tell of both, each on its own day."""
    engine = sa.create_engine(f"sqlite:///{mistaken.folder / 'ledger.sqlite'}")
    later = AS_OF + timedelta(days=30)
    with engine.begin() as tx:
        row = tx.execute(sa.text("select * from notice")).mappings().one()
        payload = json.loads(row["payload"])
        closing_pair = f"{AS_OF:%Y%m%d}_{later:%Y%m%d}"
        payload |= {"kind": "cleared", "pair": closing_pair, "episode": payload["episode"] | {"cleared": later.isoformat()}}
        new = dict(row) | {"number": 99, "key": f"{FLAG}:cleared:files", "kind": "cleared", "payload": json.dumps(payload)}
        names = ", ".join(new)
        tx.execute(sa.text(f"insert into notice ({names}) values ({', '.join(':' + n for n in new)})"), new)
        tx.execute(sa.text("update episode set state = 'cleared', cleared = :day"), {"day": later.isoformat()})
    engine.dispose()
    with mistaken.opened("nightly", AS_OF) as (s, run):
        pipeline.deliver(s, run)
    assert [one["kind"] for one in told(mistaken)] == ["raised"]
    with mistaken.opened("nightly", later) as (s, run):
        pipeline.deliver(s, run)
    assert sorted(one["kind"] for one in told(mistaken)) == ["cleared", "raised"]


def ended(place, *, withdrawn=False):
    """The flag has ended, as if a later night had seen that; the day."""
    day = AS_OF + timedelta(days=70)
    engine = sa.create_engine(f"sqlite:///{place.folder / 'ledger.sqlite'}")
    with engine.begin() as tx:
        state = "withdrawn" if withdrawn else "cleared"
        tx.execute(sa.text("update episode set state = :state, cleared = :day"), {"state": state, "day": day.isoformat()})
    engine.dispose()
    return day


def test_who_gets_the_notice_of_a_flag_that_has_ended_reads_that_first_and_gets_its_end(mistaken, capsys):
    day = ended(mistaken)
    assert cli.main(["-c", str(mistaken.config), "notices", "--resend", FLAG]) == 0
    assert "2 new notices, 2 delivered" in capsys.readouterr().out
    sent = {one["kind"]: one for one in (json.loads(file.read_text()) for file in mistaken.notices)}
    assert sent.keys() == {"raised", "cleared"}
    first, _, second, *_ = sent["raised"]["body"].splitlines()
    assert first.startswith("Screening flag raised (cleared since): Rising Cone")
    assert second.startswith(f"It has ended since: the flag was cleared on {LANGUAGES['en'].one_day(day)}")
    assert sent["raised"]["payload"]["episode"]["cleared"] == day.isoformat()
    assert cli.main(["-c", str(mistaken.config), "notices", "--resend", FLAG]) == 2  # nothing twice
    assert len(mistaken.notices) == 2


@pytest.mark.parametrize("withdrawn", [False, True])
def test_a_notice_that_goes_out_late_says_that_its_flag_has_ended_meanwhile(rising, withdrawn):
    with rising.opened("mute", AS_OF) as (s, _):
        s.ledger.record_act(
            ActRow(RISING, None, ActKind.MUTED, "Ada", datetime.now(UTC), until=datetime.now(UTC).date() + timedelta(days=9))
        )
    rising.nightly()
    assert rising.notices == []
    day = ended(rising, withdrawn=withdrawn)
    with rising.opened("unmute", day) as (s, run):
        s.ledger.record_act(ActRow(RISING, None, ActKind.UNMUTED, "Ada", datetime.now(UTC)))
        pipeline.deliver(s, run)
    [notice] = told(rising)
    assert (notice["kind"], notice["episode"]["cleared"], notice["episode"]["withdrawn"]) == (
        "raised",
        day.isoformat(),
        withdrawn,
    )
    [body] = [json.loads(file.read_text())["body"] for file in rising.notices]
    assert f"{'withdrawn' if withdrawn else 'cleared'} on {LANGUAGES['en'].one_day(day)}" in body.splitlines()[2]


def test_a_flag_that_was_raised_and_cleared_in_one_night_tells_both_and_says_so_in_the_first(rising):
    rising.change("[detector]", "[flags]\nclear_after_days = 1\n[detector]")
    rising.nightly()
    bodies = {(one["kind"], one["payload"]["episode"]["number"]): one["body"] for one in map(json.loads, texts(rising))}
    over = [number for kind, number in bodies if kind == "cleared"]
    assert over
    for number in over:
        assert "It has ended since: the flag was cleared on " in bodies["raised", number].splitlines()[2]


def texts(place):
    return [file.read_text() for file in place.notices]
