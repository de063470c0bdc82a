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
from insar_anomaly.ledger import Ledger, NewNotice
from insar_anomaly.ledger.outbox import OWED, put_in_outbox
from insar_anomaly.names import Pair
from insar_anomaly.pipeline.tonight import date_of

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
    assert f"notice of flag {FLAG}: 1 new notices, 1 delivered" in capsys.readouterr().out
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
