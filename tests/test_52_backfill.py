"""History brought in: silent, resumable, or replayed night by night as if every night had been there."""

from __future__ import annotations

import heapq
import json
import os
import random
import signal
import subprocess
import time
from datetime import date, timedelta
from functools import partial

import installation
import pytest
from installation import AS_OF, DATES, ENTRY, FIT, RISING, WEST, WIDE, Installation, command, ledger_content, store_content

from insar_anomaly import cli, pipeline
from insar_anomaly.errors import UsageError
from insar_anomaly.flags import together as flags_together
from insar_anomaly.names import Period
from insar_anomaly.pipeline.backfill import backfill, of_frames
from insar_anomaly.pipeline.forecast import forecast
from insar_anomaly.pipeline.pace import Pace, lasting
from insar_anomaly.pipeline.run import Silent

WHOLE = bool(os.environ.get("WHOLE_SUITES"))
HISTORY = Period(DATES[0], AS_OF)
SEED = 20261126
BLIND = 3
"""Exit code: one of the three stacks has too few pairs for a threshold."""


@pytest.fixture
def here(learned, tmp_path) -> Installation:
    return installation.copy(learned, tmp_path / "here")


@pytest.fixture(scope="module")
def replayed(learned, tmp_path_factory) -> tuple[Installation, pipeline.Run]:
    """A replay of the whole history long after it, and its run. Not to be changed: tests take a copy."""
    place = installation.copy(learned, tmp_path_factory.mktemp("replayed"))
    return place, filled(place, LATER, replay=True)


@pytest.fixture(scope="module")
def backfilled(learned, tmp_path_factory) -> tuple[Installation, pipeline.Run]:
    """A silent backfill on the archive's own day, and its run. Not to be changed: tests take a copy."""
    place = installation.copy(learned, tmp_path_factory.mktemp("backfilled"))
    return place, filled(place)


LATER = AS_OF + timedelta(days=400)
"""When the archive is history: nothing in it is so recent that a notice would be sent."""


def filled(place: Installation, as_of: date = AS_OF, **how: bool) -> pipeline.Run:
    with place.opened("backfill", as_of) as (s, run):
        backfill(s, run, period=HISTORY, **how)
    return run


def notices(place: Installation) -> list[tuple[object, ...]]:
    """Every notice with what it says, but for the snapshot it was made from."""
    out = []
    for key, channel, kind, payload in place.rows("select key, channel, kind, payload from notice order by key"):
        said = json.loads(payload)
        said.pop("snapshot", None)
        out.append((key, channel, kind, said))
    return out


@pytest.fixture(scope="module")
def crowd(built, tmp_path_factory) -> Installation:
    """Seven volcanoes on one frame: six of them see the same motion, and cross together. Fitted; nothing later was read."""
    place = installation.copy(built, tmp_path_factory.mktemp("crowd"))
    place.change('weights = "random"\ndims = 20', 'kind = "matched_filter"')
    (place.folder / "volcanoes.toml").write_text(
        "\n".join(
            ENTRY.format(gvp=990001 + number, name=f"Cone {number}", lon=WEST + east, frame=WIDE, more="")
            for number, east in enumerate((0.03, 0.091, 0.092, 0.093, 0.094, 0.095, 0.096))
        )
    )
    with place.opened("ingest", FIT.last) as (s, run):
        pipeline.ingest(s, run, period=FIT)
    assert place.fit().failures == []
    return place


@pytest.fixture
def held(monkeypatch) -> None:
    """The simulated motion is a volcano's and stands out; here it is held like weather."""
    monkeypatch.setattr(flags_together, "FAR_ABOVE", 1e12)


@pytest.fixture
def nights(crowd, held, tmp_path) -> Installation:
    """The crowd after a night on every day on which something may happen."""
    many = installation.copy(crowd, tmp_path / "many")
    days = [FIT.last + timedelta(days=n) for n in range(1, (AS_OF - FIT.last).days + 1)]
    for day in days if WHOLE else [d for d in days if d in DATES or d == AS_OF or d.day in (1, 15)]:
        run, _ = many.night(day)
        assert run.failures == []
    return many


def test_a_replay_ends_like_all_nights_one_by_one(crowd, nights, tmp_path, monkeypatch):
    """Flags, notices word by word, scores and stacks are those of a night on every day; also what is held and released."""
    one = installation.copy(crowd, tmp_path / "one")
    run = filled(one, LATER, replay=True)
    assert run.failures == []
    assert ledger_content(one)["episode"]
    for table in ("interferogram", "score", "episode"):
        assert ledger_content(one)[table] == ledger_content(nights)[table], table
    assert notices(one) == notices(nights)
    assert {"region", "released"} <= {kind for _, _, kind, _ in notices(one)}
    assert store_content(one) == store_content(nights)


def test_a_replay_sends_nothing_unless_it_is_asked_to(replayed, tmp_path):
    here, run = installation.copy(replayed[0], tmp_path / "here"), replayed[1]
    assert here.notices == []
    assert run.counts["unsent_notices"] > 0
    assert run.counts["new_notices"] == 0
    why = here.rows("select distinct dropped from notice")
    assert len(why) == 1
    assert "replay" in why[0][0]
    run, _ = here.night(AS_OF)  # nor does the next night
    assert here.notices == []
    assert run.counts["delivered"] == 0


def test_a_replay_that_is_to_send_does(here):
    run = filled(here, replay=True, send=True)
    assert len(here.notices) == run.counts["delivered"] > 0


def test_a_replay_that_was_looked_at_is_sent_by_the_same_command(replayed, tmp_path):
    here, written = installation.copy(replayed[0], tmp_path / "here"), replayed[1].counts["unsent_notices"]
    run = filled(here, LATER, replay=True, send=True)
    assert len(here.notices) == run.counts["delivered"] == written
    run = filled(here, LATER, replay=True, send=True)
    assert run.counts["delivered"] == 0


def test_a_replay_leaves_unrest_of_late_to_the_next_night(here):
    run = filled(here, replay=True)
    assert run.counts["unsent_notices"] == 0
    _, digest = here.nightly()
    assert [flag["stack"] for flag in digest["open_flags"]] == [RISING]
    assert len(here.notices) == 1


def test_a_silent_backfill_scores_history_and_raises_nothing(here):
    run = filled(here, LATER)
    assert run.failures == []
    assert run.counts["scored_pairs"] > 0
    assert here.rows("select count(*) from episode") == [(0,)]
    run, digest = here.nightly(LATER)
    assert digest["open_flags"] == []
    assert here.rows("select count(*) from episode") == [(0,)]
    assert here.rows("select count(*) from score where not considered and verdict = 0") == [(0,)]


def test_a_silent_backfill_hides_no_unrest_of_late(backfilled, tmp_path):
    """What a notice would still be sent for is left to the night."""
    here = installation.copy(backfilled[0], tmp_path / "here")
    assert here.rows("select count(*) from episode") == [(0,)]
    _, digest = here.nightly()
    assert [flag["stack"] for flag in digest["open_flags"]] == [RISING]
    assert len(here.notices) == 1


def test_a_backfill_again_finds_nothing_to_do(backfilled, tmp_path):
    here = installation.copy(backfilled[0], tmp_path / "here")
    before = ledger_content(here)
    run = filled(here)
    assert run.counted.get("new_pairs", 0) == 0
    assert ledger_content(here) == before


def test_parts_of_the_work_end_like_the_whole(learned, backfilled, tmp_path, monkeypatch):
    one, many = backfilled[0], installation.copy(learned, tmp_path / "many")
    monkeypatch.setattr("insar_anomaly.pipeline.backfill._PAIRS", 5)
    run = filled(many)
    assert run.counts["changed_pairs"] == 0
    assert ledger_content(one) == ledger_content(many)
    assert store_content(one) == store_content(many)


WORDS = ["backfill", "--from", f"{DATES[0]}", "--to", f"{AS_OF}", "--as-of", f"{LATER}", "--replay"]


@pytest.fixture(scope="module")
def whole(learned, tmp_path_factory) -> tuple[Installation, float]:
    """The same replay as a command, never stopped, and how long it took, s."""
    place = installation.copy(learned, tmp_path_factory.mktemp("whole"))
    started = time.monotonic()
    done = subprocess.run([*command("-c", place.config), *WORDS], check=False, capture_output=True)
    assert done.returncode == BLIND
    return place, time.monotonic() - started


@pytest.mark.parametrize("number", range(10 if WHOLE else 2))
def test_killed_at_a_random_moment_and_begun_again_it_ends_the_same(learned, whole, tmp_path, number):
    (alone, seconds), here = whole, installation.copy(learned, tmp_path / "here")
    moment = random.Random(SEED + number).uniform(0.3, 1.0) * seconds
    print(f"seed {SEED}, killed after {moment:.2f} s")
    with subprocess.Popen([*command("-c", here.config), *WORDS], stdout=subprocess.DEVNULL) as run:
        time.sleep(moment)
        run.send_signal(signal.SIGKILL if number % 2 else signal.SIGINT)
    assert cli.main(["-c", str(here.config), *WORDS]) == BLIND
    assert ledger_content(here) == ledger_content(alone)
    assert store_content(here) == store_content(alone)


def test_a_dry_run_counts_and_stores_nothing(here, backfilled):
    before, held = ledger_content(here), store_content(here)
    with here.opened("backfill") as (s, run):
        found = forecast(s, Silent.of(run), period=HISTORY)
        assert run.failures == []
    assert (ledger_content(here), store_content(here)) == (before, held)
    _, run = backfilled
    assert found.pairs == run.counts["new_pairs"] > 0
    assert found.sampled == 3
    assert found.read_bytes > 0
    assert found.hours > 0
    assert f"{found.pairs} pairs to read, for 3 stacks" in found.words[0]


def test_only_some_frames(here):
    with here.opened("backfill") as (s, run):
        backfill(of_frames(s, [WIDE]), run, period=HISTORY)
        with pytest.raises(UsageError, match=rf"--frame {WIDE[:-1]}3: none of the 3 volcanoes .* did you mean {WIDE}"):
            of_frames(s, [f"{WIDE[:-1]}3"])
    assert {stack.split("/")[1] for (stack,) in here.rows("select distinct stack from score where model in "
        "(select model from model) and pair > ?", f"{FIT.last:%Y%m%d}")} == {WIDE}  # fmt: skip


def test_the_command(here, capsys):
    words = ["--from", f"{DATES[0]}", "--as-of", f"{AS_OF}"]
    said = subprocess.run(
        [*command("-c", here.config), "backfill", *words, "--dry-run"], check=True, capture_output=True, text=True
    )
    assert "backfill, dry run: " in said.stdout
    assert "requests" in said.stdout
    assert cli.main(["-c", str(here.config), "backfill", *words]) == BLIND
    assert "stored pairs" in capsys.readouterr().out
    assert cli.main(["-c", str(here.config), "backfill", "--send"]) == 2
    assert "--replay" in capsys.readouterr().err


# -- pace


def test_the_end_is_known_by_a_quarter_of_the_work():
    """Pairs of unequal cost, from workers that report out of turn: the end that is told lies within 10 % of the real one."""
    rng = random.Random(SEED)
    print(f"seed {SEED}")
    for _ in range(50):
        cost = [rng.lognormvariate(0, 0.7) for _ in range(2000)]
        begin, total = rng.uniform(0, 60), sum(cost) / 4
        pace, clock, told = Pace(len(cost)), begin, None
        for done, one in enumerate(cost, 1):
            clock += one / 4
            if done % 7 == 0:
                pace.heard(done - rng.randrange(3), clock)
            if told is None and done >= len(cost) / 4:
                told = clock + pace.left_s(clock)
        assert told is not None
        assert abs(told - (begin + total)) < 0.1 * total


@pytest.mark.parametrize("workers", [2, 4, 16])
def test_the_end_is_known_where_parts_are_unequal(workers):
    """The largest part begins first; where it is longer than the rest takes, it decides on the end."""
    rng = random.Random(SEED)
    print(f"seed {SEED}")
    for _ in range(10):
        left = sorted((1 + int(rng.lognormvariate(3.5, 1.0)) for _ in range(60)), reverse=True)
        waiting, total, clock, told = list(range(len(left))), sum(left), 0.0, None
        pace = Pace(total, width=workers, longest=partial(max, left))
        busy = [(clock + rng.lognormvariate(0, 0.5), waiting.pop(0)) for _ in range(workers)]
        while busy:
            heapq.heapify(busy)
            clock, one = heapq.heappop(busy)
            left[one] -= 1
            pace.heard(total - sum(left), clock)
            if left[one] or waiting:
                busy.append((clock + rng.lognormvariate(0, 0.5), one if left[one] else waiting.pop(0)))
            if told is None and sum(left) <= 0.75 * total:
                told = clock + pace.left_s(clock)
        assert told is not None
        assert abs(told - clock) < 0.1 * clock


def test_pace_says_nothing_before_it_knows():
    pace = Pace(100)
    assert pace.words(0.0) == ""
    pace.heard(1, 5.0)
    assert pace.left_s(5.0) is None
    pace.heard(11, 15.0)
    assert pace.rate == pytest.approx(1.0)
    assert pace.left_s(15.0) == pytest.approx(89.0)
    assert pace.left_s(25.0) == pytest.approx(79.0)  # nothing was heard since, and time goes on
    pace.heard(9, 16.0)
    assert pace.rate == pytest.approx(1.0)
    assert pace.words(15.0) == "60 pairs a minute, about 89 s left"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (89, "89 s"), (900, "15 min"), (19_200, "5 h 20 min"), (274_000, "3 d 4 h")]
)
def test_lengths_of_time(seconds, words):
    assert lasting(seconds) == words
