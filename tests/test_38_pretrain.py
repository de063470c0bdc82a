"""The backbone's training: the stream of crops, the network, resuming to the last bit, the file of weights, the command."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from insar_anomaly import cli
from insar_anomaly.detectors.backbone import (
    INSAR,
    Trunk,
    digest,
    insar_weights,
    named_weights,
    pack_weights,
    random_weights,
    unpack_weights,
)
from insar_anomaly.detectors.padim import Padim
from insar_anomaly.tiles import preprocess
from insar_anomaly.tools.pretrain import recipe as training
from insar_anomaly.tools.pretrain.learner import PretextLearner, Recipe, tensors, validate
from insar_anomaly.tools.pretrain.motions import DRAWS, KINDS, motion
from insar_anomaly.tools.pretrain.network import TERMS, Pretext, losses
from insar_anomaly.tools.pretrain.stream import UNASKED, Stream, _group
from insar_anomaly.tools.pretrain.trial import CLEANING, CLIMATES, stack, trial
from insar_anomaly.units import RAD_PER_M

CPU = torch.device("cpu")
SMALL = Stream(5, size=32, frame=64, frames=2, cuts=2, groups=3)
RECIPE, _ = training.SIZES["tiny"]
WATCHING = training.Watching(log_every=2, validate_every=4, keep_every=2, held_out=8, trial=(5, 32), volcanoes=1)


def same(one, other):
    return all(np.array_equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))


# ----------------------------------------------------------------------------------------------------- the stream


def test_a_crop_is_the_same_whoever_asks_for_it_and_when():
    whole = SMALL.crops(0, 30)
    _group.cache_clear()
    for first, number in ((20, 10), (0, 7), (7, 13)):  # other batches, other order, nothing remembered
        part = SMALL.crops(first, number)
        for f in fields(part):
            np.testing.assert_array_equal(getattr(part, f.name), getattr(whole, f.name)[first : first + number])


def test_another_seed_gives_other_crops():
    assert not same(SMALL.crops(0, 4), replace(SMALL, seed=6).crops(0, 4))


def test_neighbouring_crops_are_of_different_places():
    one = SMALL.crops(0, 12).tile
    assert len({crop.tobytes() for crop in one}) == 12


def test_crops_are_whole_and_in_range():
    crops = Stream(1, size=32, frame=64).crops(0, 400)
    assert crops.tile.shape == (400, 32, 32)
    assert crops.tile.dtype == np.float32
    assert crops.motion.shape == crops.where.shape == (400, 8, 8)
    for f in fields(crops):
        assert np.isfinite(getattr(crops, f.name)).all()
    assert np.abs(crops.tile).max() <= 1
    assert crops.tile.std() > 0.05
    assert set(np.unique(crops.where)) == {0, 1}
    assert set(np.unique(crops.kind)) == {UNASKED, *range(len(KINDS))}
    assert 0.25 < (crops.kind > 0).mean() < 0.7
    assert (crops.motion[crops.kind == 0] < 0.31).all()
    assert 0 < crops.nuisance.mean() < 0.6


def test_the_targets_lie_where_the_crop_shows_the_motion():
    crops = Stream(2, size=32, frame=64).crops(0, 500)
    strong = np.abs(crops.motion).max((1, 2)) > 12
    coarse = crops.tile.reshape(-1, 8, 4, 8, 4).mean((2, 4))
    found = [
        np.corrcoef(a.ravel(), b.ravel())[0, 1]
        for a, b in zip(np.tanh(crops.motion[strong] / 8), coarse[strong], strict=True)
    ]
    assert len(found) > 10
    assert np.median(found) > 0.5  # a crop turned without its target, or another sign, would be near or below zero


@pytest.mark.parametrize("kind", DRAWS)
def test_every_kind_of_source_gives_finite_motion_whose_largest_is_its_peak(kind, monkeypatch):
    number = KINDS.index(kind)
    seen = set()
    for seed in range(90):
        phase, drawn, centre = motion((48, 56), np.random.default_rng(seed), pixel_km=0.1, look=(-0.6, -0.1, 0.79))
        if drawn == number:
            assert np.isfinite(phase).all()
            assert 0.29 <= np.abs(phase).max() / abs(RAD_PER_M) * 100 <= 12.01
            assert -0.1 * 48 <= centre[0] <= 1.1 * 48
            seen.add(phase.min() < -phase.max())
    assert seen == {True, False}  # either sign


def test_a_source_does_not_depend_on_the_rows_it_is_computed_with():
    tall, _, _ = motion((96, 40), np.random.default_rng(7), pixel_km=0.1, look=(-0.6, -0.1, 0.79))
    steps = np.abs(np.diff(tall, axis=0)).max(1)
    assert steps[31] < 2 * max(steps[29], steps[33], 1e-9)  # no seam between two blocks of rows


# ---------------------------------------------------------------------------------------------------- the network


def test_every_layer_of_the_trunk_is_trained_and_the_losses_fall():
    learner = PretextLearner(replace(RECIPE, rate=1e-3), 100, CPU)
    learner.networks.train()
    before = digest(learner.networks.trained.trunk.state_dict())
    truth = tensors(SMALL.crops(0, 8), CPU)
    (optimiser,) = learner.optimisers
    seen = []
    for _ in range(12):
        loss = losses(learner.networks.trained(truth["tile"]), truth)
        optimiser.zero_grad()
        loss.sum().backward()
        optimiser.step()
        seen.append(float(loss.detach().sum()))
    assert seen[-1] < 0.8 * seen[0]
    assert digest(learner.networks.trained.trunk.state_dict()) != before
    for layer in ("layer1", "layer2", "layer3"):
        gradient = getattr(learner.networks.trained.trunk, layer)[0].conv1.weight.grad
        assert float(gradient.abs().max()) > 0


def test_a_batch_of_which_nothing_can_be_said_has_no_loss_of_kind():
    truth = tensors(SMALL.crops(0, 4), CPU)
    truth["kind"] = torch.full_like(truth["kind"], UNASKED)
    found = losses(Pretext()(truth["tile"]), truth)
    assert found.isfinite().all()
    assert found[TERMS.index("kind")] == 0


def test_the_rate_rises_and_falls():
    learner = PretextLearner(Recipe(warm_up=10, rate=1.0), 110, CPU)
    rates = [learner.rate(i) for i in range(110)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] == pytest.approx(0.02, abs=0.01)


def test_validation_of_an_untrained_network_knows_nothing_but_is_complete():
    found = validate(Pretext().eval(), Stream(3, size=32, frame=64).crops(0, 200), CPU)
    assert {"auroc 2-4 cm", "motion r", "spread 1", "spread 3"} <= set(found)
    assert abs(found["motion r"]) < 0.5


# ------------------------------------------------------------------------------------------------------ training


class Killed(Exception):
    pass


def train(folder, *, crops=32, die_at=None, **options):
    def progress(done, total):
        if done == die_at:
            raise Killed

    settings = {"recipe": RECIPE, "watching": WATCHING} | options
    return training.train_backbone(folder, length=(crops, None), device=CPU, progress=progress, **settings)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    return train(folder)


def test_a_killed_training_goes_on_to_the_last_bit(trained, tmp_path):
    with pytest.raises(Killed):
        train(tmp_path, die_at=5)
    resumed = train(tmp_path)
    (one, first), (other, second) = (unpack_weights(file.read_bytes()) for file in (trained, resumed))
    assert digest(one) == digest(other)
    assert first == second
    lines = [[json.loads(line) for line in (f.parent / "log.jsonl").read_text().splitlines()] for f in (trained, resumed)]
    steps = [[(x["step"], sorted(x)) for x in part] for part in lines]
    assert steps[0] == steps[1]


def test_the_file_says_how_it_was_made(trained):
    weights, made = unpack_weights(trained.read_bytes())
    assert trained.name == INSAR
    assert trained.stat().st_size < 8 * 2**20
    Trunk("resnet18").load_state_dict(weights)
    assert made["recipe"] == json.loads(json.dumps(training.asdict(RECIPE)))
    assert (made["crops"], made["seed"], made["finished"]) == (32, 0, True)
    assert "simulated" in made["licence"]
    assert {"humid hills 2 cm", "dry desert 4 cm"} <= set(made["metrics"]["padim"])
    assert digest(weights) != digest(random_weights("resnet18", 0))


def test_what_is_finished_is_not_trained_again(trained):
    before = trained.stat().st_mtime_ns
    assert train(trained.parent, die_at=1) == trained
    assert trained.stat().st_mtime_ns == before


def test_another_recipe_in_the_same_folder_is_refused(trained):
    with pytest.raises(ValueError, match="another training"):
        train(trained.parent, recipe=replace(RECIPE, seed=1))
    with pytest.raises(ValueError, match="another training"):
        train(trained.parent, crops=64)


def test_when_the_time_is_over_what_was_reached_is_written_and_the_next_call_goes_on(tmp_path, trained):
    settings = {"recipe": RECIPE, "watching": WATCHING, "device": CPU}
    file = training.train_backbone(tmp_path, length=(32, 1e-9), **settings)
    made = unpack_weights(file.read_bytes())[1]
    assert not made["finished"]
    assert 0 < made["crops"] < 32
    done = training.train_backbone(tmp_path, length=(None, None), **settings)
    assert digest(unpack_weights(done.read_bytes())[0]) == digest(unpack_weights(trained.read_bytes())[0])


def test_minutes_alone_become_a_number_of_crops(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "_speed", lambda recipe, device: 10.0)
    assert training._plan(tmp_path, None, 2.0, RECIPE, CPU) == 1080
    assert training._plan(tmp_path, None, 7.0, RECIPE, CPU) == 1080  # the folder's plan stands


# ------------------------------------------------------------------------------------------------------- weights


def test_weights_come_back_in_half_precision_with_their_record():
    weights = random_weights("resnet18", 3)
    found, made = unpack_weights(pack_weights(weights, {"seed": 3, "metrics": {"a": 0.5}, "licence": "free"}))
    assert made == {"seed": 3, "metrics": {"a": 0.5}, "licence": "free"}
    for name, tensor in weights.items():
        assert found[name].dtype == tensor.dtype
        torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=1e-6)


def test_the_packages_weights_are_of_one_backbone_only():
    with pytest.raises(ValueError, match="is a resnet18"):
        named_weights("wide_resnet50_2", "insar", seed=0)


def test_the_packages_weights_are_whole_and_say_how_they_were_made():
    weights, made = insar_weights("resnet18")
    Trunk("resnet18").load_state_dict(weights)
    assert all(t.isfinite().all() for t in weights.values())
    assert made["crops"] > 100_000
    assert set(made["metrics"]) == {"validation", "padim", "padim on random weights"}
    assert made["recipe"]["seed"] == made["seed"]
    assert "simulated" in made["licence"]
    assert named_weights("resnet18", "insar", seed=9)[1] == (
        f"insar ({digest(weights)}, seed {made['seed']}, {made['crops']} crops)"
    )


def test_padim_reads_them_unless_told_otherwise():
    assert Padim().weights == "insar"
    train, _ = stack(CLIMATES["dry desert"], seed=0, acquisitions=4, side=32)
    scorer = Padim(dims=8).fit(preprocess.tiles(train, **CLEANING))
    assert scorer.settings["weights"].startswith("insar (")


def test_they_show_weak_motion_better_than_a_random_trunk_does():
    found = [
        np.mean(list(trial(weights, "test", seed=21, acquisitions=16, side=96, peaks_cm=(2.0,)).values()))
        for weights in (insar_weights("resnet18")[0], random_weights("resnet18", 0))
    ]
    assert found[0] > found[1] + 0.03


# ------------------------------------------------------------------------------------------------------- command


def test_the_command_trains_and_says_what_it_wrote(tmp_path, capsys):
    out = str(tmp_path / "here")
    arguments = ["train-backbone", "--out", out, "--size", "tiny", "--crops", "8", "--device", "cpu"]
    assert cli.main(arguments) == 0
    said = capsys.readouterr().out
    assert f"written: {out}/{INSAR} (8 crops, seed 0)" in said
    assert "padim on random weights: " in said
    assert cli.main(["--json", *arguments]) == 0
    assert json.loads(capsys.readouterr().out)["crops"] == 8
    assert cli.main([*arguments, "--seed", "4"]) == 2
    assert "another training" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--crops", "0"], ["--crops", "many"], ["--device", "abacus"], []])
def test_wrong_arguments_are_told(wrong, tmp_path, capsys):
    with pytest.raises(SystemExit):
        cli.main(["train-backbone", *(["--out", str(tmp_path)] if wrong else []), *wrong])
    assert "usage" in capsys.readouterr().err


def test_the_trial_cleans_as_the_settings_defaults_do():
    """`tools.pretrain` cannot import the settings (a bare machine lacks pydantic), so it repeats their defaults."""
    from insar_anomaly.config import Preprocess

    defaults = Preprocess().model_dump()
    assert {name: defaults[name] for name in CLEANING} == CLEANING
