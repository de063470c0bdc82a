"""SIGKILL at any moment: the same commands again end like a run that nothing disturbed."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import installation
import pytest
from installation import AS_OF, DATES, Installation, ledger_content, store_content

SEED = 20261124
FIT_TO = DATES[14]


class Forks:
    """The fork server, from the outside."""

    def __init__(self, process):
        self.process = process
        assert self._read()["ready"]

    def _read(self):
        line = self.process.stdout.readline()
        assert line, "the fork server died"
        return json.loads(line)

    def run(self, place, *, kill_after=None, die_at=None):
        """Ingest, fit and a night in a child; its exit codes (None where it was killed) and the seconds it took."""
        c = ["-c", str(place.config), "--json"]
        commands = [[*c, "ingest"], [*c, "fit", "--to", f"{FIT_TO}"], [*c, "nightly", "--as-of", f"{AS_OF}"]]
        log = str(place.folder / "log")
        job = {"commands": commands, "kill_after": kill_after, "die_at": die_at, "log": log}
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        answer = self._read()
        codes = answer["codes"]
        assert codes in (None, [0, 0, 0]), (codes, Path(log).read_text())
        return codes, answer["seconds"]


@pytest.fixture(scope="module")
def forks():
    script = Path(__file__).with_name("fork_server.py")
    with subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0
    ) as process:
        yield Forks(process)
        process.stdin.close()


@pytest.fixture(scope="module")
def start(built, tmp_path_factory):
    """One volcano, its last 13 acquisitions, many small transactions."""
    place = installation.copy(built, tmp_path_factory.mktemp("start"))
    place.only(990002)
    for pair in place.pairs():
        if pair[:8] < f"{DATES[9]:%Y%m%d}":
            for file in place.phase(pair).parent.iterdir():
                file.unlink()
            place.phase(pair).parent.rmdir()
    place.change("batch = 16", "batch = 9")
    place.change('kind = "inline"', 'kind = "inline"\nbatch = 6')
    place.change("min_pairs = 15", 'min_pairs = 5\npolicy = "fpr"\nfpr = 0.2')  # so short a record tells nothing of a year
    place.change('weights = "random"\ndims = 20', 'kind = "matched_filter"')  # no network: a trial costs half
    catalogue = place.folder / "volcanoes.toml"
    catalogue.write_text(catalogue.read_text().replace("box_km = 6", "box_km = 4"))
    return place


@pytest.fixture(scope="module")
def undisturbed(forks, start, tmp_path_factory):
    """What a run that nothing disturbed leaves behind, and how long it takes."""
    place = installation.copy(start, tmp_path_factory.mktemp("undisturbed"))
    _, seconds = forks.run(place)
    return result(place), seconds


def result(place: Installation):
    """Everything that must not depend on kills."""
    assert place.rows("select distinct delivered_at is null from notice") == [(0,)]
    return ledger_content(place), store_content(place), [p.name for p in place.notices]


def test_a_run_leaves_a_flag_to_compare_with(undisturbed):
    (ledger, store, notices), _ = undisturbed
    assert len(ledger["interferogram"]) == 33
    assert len(ledger["score"]) == 33 + 3 * 10 + 2 + 1  # pairs, and three looks at every interval but the last two
    assert len(ledger["episode"]) == 1  # so low a threshold takes the weather before the unrest for its beginning
    assert len(notices) == 1
    assert len(store) == 5  # the stack, two models and their scores


@pytest.mark.parametrize("number", range(10))
def test_killed_at_a_random_moment_the_same_commands_again_end_the_same(number, forks, start, undisturbed, tmp_path):
    wanted, seconds = undisturbed
    # one moment in each tenth of the run, so that every stage is hit
    moment = (number + random.Random(SEED + number).random()) / 10 * seconds
    print(f"seed {SEED}, killed after {moment:.3f} of {seconds:.3f} s")
    place = installation.copy(start, tmp_path / "here")
    forks.run(place, kill_after=moment)
    codes, _ = forks.run(place)
    assert codes == [0, 0, 0]
    assert result(place) == wanted


@pytest.mark.parametrize(
    "method",
    [
        ["stack.store.Store.append", 1],  # the stack was created, nothing is in it
        ["ledger.ledger.Ledger.record_pairs", 2],  # stored, and the ledger does not know
        ["ledger.ledger.Ledger.publish", 1],  # the model is stored, and not published
        ["ledger.ledger.Ledger.record_scores", 2],
        ["ledger.ledger.Ledger.advance", 1],
        ["ledger.ledger.Ledger.delivered", 1],  # the notice has arrived, and the ledger does not know
    ],
    ids=lambda m: f"{m[0].split('.')[-1]}-{m[1]}",
)
def test_killed_between_two_transactions_the_same_commands_again_end_the_same(method, forks, start, undisturbed, tmp_path):
    place = installation.copy(start, tmp_path / "here")
    codes, _ = forks.run(place, die_at=method)
    assert codes is None
    assert place.rows("select status from run order by run")[-1] == ("running",)
    codes, _ = forks.run(place)
    assert codes == [0, 0, 0]
    assert result(place) == undisturbed[0]
    assert ("interrupted",) in place.rows("select status from run")
