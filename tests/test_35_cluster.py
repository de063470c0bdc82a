"""Workers: processes that die, tasks that fail, models that are loaded once."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import time

import pytest
from installation import AS_OF, RISING

from insar_anomaly.errors import PairRejected, UsageError, Verdict
from insar_anomaly.evidence.protocol import Assessment
from insar_anomaly.pipeline import scoring as tasks
from insar_anomaly.pipeline.assess import score_task
from insar_anomaly.pipeline.cluster import Workers, workers

pytestmark = [
    # distributed leaves a socket unclosed while it looks for a free port, and says so where 8787 is taken
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Port 8787 is already in use:UserWarning"),
]


FOR_EVER_S = 600


def square(number):
    """A task that kills its process, raises, or succeeds."""
    if number == "poison":
        os.kill(os.getpid(), signal.SIGKILL)
    if number == "slow":
        time.sleep(0.3)
        return "slow"
    if number == "for ever":
        time.sleep(FOR_EVER_S)
    if number == "mistake":
        raise UsageError("a mistake in a setting")
    if number == "rejected":
        raise PairRejected(Verdict.ROTATED, "a file: resample it")
    if number == "zero":
        return 1 / 0
    return number * number


def process(_):
    """The number of the process and of its torch threads."""
    import torch

    return os.getpid(), torch.get_num_threads()


def scored(task):
    """Score, and say how often this process has loaded a model so far."""
    tasks.score_assessments(task)
    info = tasks._scorer.cache_info()
    return os.getpid(), info.misses


@pytest.fixture(scope="module")
def two():
    """Two worker processes."""
    with workers("local", count=2, address=None) as hands:
        yield hands


def outcome(found):
    return {task: result if error is None else type(error) for task, result, error in found}


def test_every_task_comes_back_once_with_its_result(two):
    assert two.width == 2
    assert outcome(two.fan_out(square, range(40))) == {i: i * i for i in range(40)}
    assert list(two.fan_out(square, [])) == []


def test_work_is_shared_by_processes_of_one_torch_thread_each(two):
    found = [result for _, result, _ in two.fan_out(process, range(30))]
    assert {threads for _, threads in found} == {1}
    assert len({number for number, _ in found}) == 2
    assert os.getpid() not in {number for number, _ in found}


def test_an_error_comes_back_as_a_value_with_its_type_and_words(two):
    found = {task: error for task, _, error in two.fan_out(square, [2, "mistake", "rejected", "zero", 3])}
    assert {task: type(error) for task, error in found.items()} == {
        2: type(None),
        3: type(None),
        "mistake": UsageError,
        "rejected": PairRejected,
        "zero": ZeroDivisionError,
    }
    assert str(found["mistake"]) == "a mistake in a setting"
    assert (found["rejected"].verdict, found["rejected"].detail) == (Verdict.ROTATED, "a file: resample it")


def test_the_traceback_of_a_defect_travels_with_it(two):
    [(_, _, error)] = two.fan_out(square, ["zero"])
    assert "in square" in "".join(error.__notes__)
    [(_, _, error)] = two.fan_out(square, ["mistake"])
    assert not hasattr(error, "__notes__")  # no defect: its words say it all


def test_workers_start_with_the_first_task_and_end_with_the_context(capfd):
    others = set(multiprocessing.active_children())
    with workers("local", count=1, address=None) as hands:
        assert list(hands.fan_out(square, [], gpu=True)) == []
        assert set(multiprocessing.active_children()) == others
        assert outcome(hands.fan_out(square, [3])) == {3: 9}
        assert len(set(multiprocessing.active_children()) - others) == 1
    assert set(multiprocessing.active_children()) == others


def test_a_person_who_stops_the_run_does_not_wait_for_its_tasks():
    others = set(multiprocessing.active_children())
    with pytest.raises(KeyboardInterrupt), workers("local", count=1, address=None) as hands:  # noqa: PT012
        for number, result, _ in hands.fan_out(square, [4, "for ever"]):
            assert (number, result) == (4, 16)
            started = time.monotonic()
            raise KeyboardInterrupt
    assert time.monotonic() - started < FOR_EVER_S / 10
    assert set(multiprocessing.active_children()) == others


def test_a_task_that_kills_its_worker_fails_alone(two):
    found = outcome(two.fan_out(square, [*range(10), "poison", "slow", *range(10, 20)]))
    culprit = found.pop("poison")
    assert culprit.__name__ == "WorkersFailed"  # twice, the second time alone: said in words
    assert found == {"slow": "slow", **{i: i * i for i in range(20)}}
    assert outcome(two.fan_out(square, [7])) == {7: 49}


def test_without_gpu_workers_nothing_asks_for_a_gpu(two):
    assert two.gpu_wanted() == {}
    assert Workers().gpu_wanted() == {}
    started = time.monotonic()
    assert outcome(two.fan_out(square, [5], gpu=True)) == {5: 25}
    assert time.monotonic() - started < 30


def test_workers_that_declare_a_gpu_are_asked_for_it():
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=1, processes=False, dashboard_address="127.0.0.1:0", resources={"GPU": 1}) as cluster,
        Client(cluster) as client,
        workers("address", count=None, address=client.scheduler.address) as hands,
    ):
        assert hands.gpu_wanted() == {"GPU": 1}
        assert outcome(hands.fan_out(square, [6], gpu=True)) == {6: 36}


def test_inline_works_here_and_brings_errors_back_too():
    with workers("inline", count=None, address=None) as here:
        assert here.width == 1
        assert outcome(here.fan_out(square, [2, "zero", 3])) == {2: 4, 3: 9, "zero": ZeroDivisionError}
        [(_, (number, _), _)] = here.fan_out(process, [0])
        assert number == os.getpid()


def test_a_worker_loads_a_model_once_however_many_batches_it_scores(two, with_models):
    with with_models.opened() as (s, _):
        model = s.ledger.current(RISING)
        names = s.store.pairs(RISING)
        snapshot = s.store.snapshot(RISING)
        made = [
            score_task(s, RISING, model, pairs=names, assessments=[Assessment(pair, 0, 0, AS_OF)], snapshot=snapshot)
            for pair in names[-12:]
        ]
    found = list(two.fan_out(scored, made))
    assert [error for _, _, error in found] == [None] * 12
    assert {misses for _, (_, misses), _ in found} == {1}
    assert all(len(pickle.dumps(task)) < 4000 for task in made)
