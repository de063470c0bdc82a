"""What is special about the comparators: windows, training, noise, filters and patches, each against something slower."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from quiet_tiles import PIXEL_KM, dataset, quiet, unrest
from sklearn.covariance import ledoit_wolf as oracle_ledoit_wolf
from torch import nn

from insar_anomaly import simulate
from insar_anomaly.detectors._checkpoint import Checkpoint, fingerprint
from insar_anomaly.detectors._patches import Labelled, Patches, SimulatedAtmosphere, grey
from insar_anomaly.detectors._training import Course, Crops, train
from insar_anomaly.detectors._unet import Attention, UNet
from insar_anomaly.detectors._windows import Windows, cells, valid_mean
from insar_anomaly.detectors.cnn import Cnn, alexnet
from insar_anomaly.detectors.diffusion import Ancestral, CorrelatedNoise, Ddim, Diffusion, Ladder, WhiteNoise
from insar_anomaly.detectors.ganomaly import RECIPES, Discriminator, Ganomaly, Generator
from insar_anomaly.detectors.matched_filter import MatchedFilter, block_means, centred, ledoit_wolf
from insar_anomaly.errors import Busy, NotFitted

SMALL = {
    "ganomaly": Ganomaly(steps=7, batch=4, window=16, stride=8, width=4, latent=8, checkpoint_every=3),
    "diffusion": Diffusion(
        steps=7, batch=4, window=16, stride=8, width=4, multipliers=(1, 2), blocks=1, noise="correlated", checkpoint_every=3
    ),
    "cnn": Cnn(steps=7, batch=4, window=64, width=4, use_quiet=True, checkpoint_every=3),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def tiles():
    return quiet((64, 72), acquisitions=5)


# windows


def slow_blend(windows: Windows, s: np.ndarray, z: np.ndarray) -> np.ndarray:
    """SCIENCE section 4, pixel by pixel, for one tile."""
    total, mass = np.zeros(windows.padded), np.zeros(windows.padded)
    axis = np.arange(windows.size) - (windows.size - 1) / 2
    for p in range(windows.number):
        if z[p] >= 0.6 or np.isnan(s[p]):
            continue
        top, left = (p // windows.grid[1]) * windows.stride, (p % windows.grid[1]) * windows.stride
        for i in range(windows.size):
            for j in range(windows.size):
                w = np.exp(-(axis[i] ** 2 + axis[j] ** 2) / (2 * (windows.size / 6) ** 2))
                total[top + i, left + j] += (1 - z[p]) * s[p] * w
                mass[top + i, left + j] += w
    out = np.where(mass > 0, total / (1e-5 + mass), np.nan)
    return out[: windows.shape[0], : windows.shape[1]]


@pytest.mark.parametrize(("shape", "size", "stride"), [((20, 27), 12, 4), ((9, 30), 12, 12), ((12, 12), 12, 4)])
def test_blend_is_the_papers_formula(shape, size, stride):
    rng, windows = np.random.default_rng(0), Windows(shape, size, stride)
    s, z = rng.normal(size=(2, windows.number)), rng.uniform(0, 0.9, (2, windows.number))
    s[0, -1] = np.nan
    fast = windows.blend(torch.tensor(s, dtype=torch.float32), torch.tensor(z, dtype=torch.float32)).numpy()
    assert fast.shape == (2, *shape)
    for one in range(2):
        np.testing.assert_allclose(fast[one], slow_blend(windows, s[one], z[one]), rtol=1e-4, atol=1e-6)


def test_the_authors_500_pixels_give_169_windows():
    windows = Windows((500, 500), 128, 32)
    assert windows.number == 169
    assert windows.padded == (512, 512)


def test_cut_takes_windows_row_by_row_and_pads_by_the_edge():
    ground = torch.arange(7 * 9, dtype=torch.float32).reshape(1, 7, 9)
    windows = Windows((7, 9), 4, 2)
    cut = windows.cut(ground)
    padded = np.pad(ground[0].numpy(), ((0, 1), (0, 1)), mode="edge")
    assert cut.shape == (1, windows.number, 4, 4)
    for p in range(windows.number):
        top, left = 2 * (p // windows.grid[1]), 2 * (p % windows.grid[1])
        np.testing.assert_array_equal(cut[0, p].numpy(), padded[top : top + 4, left : left + 4])
    joined = torch.cat(list(windows.portions(ground[0])))
    torch.testing.assert_close(joined, cut[0, :, None], rtol=0, atol=0)
    masks = ground % 3 > 0
    expected = 1 - windows.cut(masks.float()).mean((2, 3))
    torch.testing.assert_close(windows.invalid_fraction(masks), expected)


def test_maps_of_windows_come_back_as_the_ground_they_were_cut_from():
    ground = torch.randn(2, 21, 18, generator=torch.Generator().manual_seed(0))
    windows = Windows((21, 18), 8, 4)
    torch.testing.assert_close(windows.mean_maps(windows.cut(ground)), ground)
    fine = windows.blend_maps(windows.cut(ground) + 5, torch.zeros(2, windows.number))
    assert torch.isfinite(fine).all()
    # cells of 4 pixels: the tile's 21 x 18 pixels are 6 x 5 of them, and cells at the same place agree between windows
    pooled = nn.functional.avg_pool2d(windows.cut(ground).flatten(0, 1), 4).reshape(2, windows.number, 2, 2)
    coarse = windows.mean_maps(pooled)
    assert coarse.shape == (2, 6, 5)
    torch.testing.assert_close(coarse[:, :5, :4], nn.functional.avg_pool2d(ground, 4)[:, :5, :4])


def test_windows_that_do_not_count_leave_nothing():
    windows = Windows((16, 8), 8, 8)
    scores = torch.tensor([[2.0, 7.0]])
    mean = windows.mean(scores, torch.tensor([[True, False]]))
    torch.testing.assert_close(mean[0, :8], torch.full((8, 8), 2.0))
    assert mean[0, 8:].isnan().all()
    assert windows.blend(scores, torch.tensor([[0.6, 0.0]]))[0, :8].isnan().all()


def test_windows_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match="stride = 9"):
        Windows((16, 16), 8, 9)
    with pytest.raises(ValueError, match="these windows are for"):
        Windows((16, 16), 8, 4).cut(torch.zeros(1, 16, 15))
    with pytest.raises(ValueError, match="cells divide"):
        Windows((16, 16), 8, 3).mean_maps(torch.zeros(1, 16, 2, 2))


def test_cells_average_only_measured_pixels():
    rng = np.random.default_rng(1)
    pixels, valid = rng.normal(size=(2, 10, 7)).astype(np.float32), rng.random((2, 10, 7)) > 0.5
    valid[0, :4, :4] = False
    pixels[1, 5, 5] = np.nan
    fast = cells(torch.tensor(pixels), torch.tensor(valid), 4).numpy()
    assert fast.shape == (2, 3, 2)
    for n, v, u in np.ndindex(fast.shape):
        place = (n, slice(4 * v, 4 * v + 4), slice(4 * u, 4 * u + 4))
        known = pixels[place][valid[place] & np.isfinite(pixels[place])]
        np.testing.assert_allclose(fast[n, v, u], known.mean() if known.size else np.nan, rtol=1e-5)
    known = valid & np.isfinite(pixels)
    expected = [pixels[n][known[n]].mean(dtype=np.float64) for n in range(2)]
    np.testing.assert_allclose(valid_mean(torch.tensor(pixels), torch.tensor(valid)).numpy(), expected)


# training


class Stop(Exception):
    """The night ends here."""


def interrupted(detector, tiles, at: int) -> None:
    def progress(done: int, total: int) -> None:
        if done == at:
            raise Stop

    with pytest.raises(Stop):
        detector.fit(tiles, progress=progress)


@pytest.mark.parametrize("name", SMALL)
def test_a_resumed_training_is_the_uninterrupted_one_to_the_last_bit(name, tiles, tmp_path):
    whole = SMALL[name].fit(tiles)
    kept = replace(SMALL[name], checkpoint=tmp_path / "night" / "training.safetensors")
    interrupted(kept, tiles, 5)
    assert kept.checkpoint.exists()
    steps = []
    resumed = kept.fit(tiles, progress=lambda done, total: steps.append(done))
    assert steps == [4, 5, 6, 7]  # it went on after step 3, the last one kept
    assert list(kept.checkpoint.parent.iterdir()) == []
    np.testing.assert_array_equal(resumed.trained.losses, whole.trained.losses)
    assert resumed.trained.losses.shape == (7, len(resumed.trained.terms))
    assert resumed.trained.weights.keys() == whole.trained.weights.keys()
    for key, tensor in whole.trained.weights.items():
        assert torch.equal(tensor, resumed.trained.weights[key]), key


def test_training_leaves_the_process_its_own_randomness(tiles):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    SMALL["cnn"].fit(tiles)
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)


def test_a_checkpoint_of_another_training_is_refused(tiles, tmp_path):
    kept = replace(SMALL["ganomaly"], checkpoint=tmp_path / "training.safetensors")
    interrupted(kept, tiles, 4)
    for other, ground in ((replace(kept, seed=1), tiles), (kept, tiles.isel(pair=slice(1, None))), (kept, tiles + 0)):
        if ground is not tiles and ground.sizes == tiles.sizes:
            ground["tile"][0, 0, 0] += 1e-6
        with pytest.raises(ValueError, match=r"training\.safetensors belongs to another training.*delete the file"):
            other.fit(ground)
    kept.checkpoint.write_bytes(b"not this")
    with pytest.raises(ValueError, match=r"training\.safetensors is not a training checkpoint.*delete the file"):
        kept.fit(tiles)


def test_how_often_and_where_is_no_part_of_a_training(tiles, tmp_path):
    kept = replace(SMALL["ganomaly"], checkpoint=tmp_path / "training.safetensors")
    interrupted(kept, tiles, 4)
    again = replace(kept, checkpoint_every=1, device="cpu").fit(tiles)
    assert not {"checkpoint", "checkpoint_every", "device"} & set(again.trained.settings)


def test_a_second_process_is_kept_off_a_checkpoint(tmp_path):
    kept = Checkpoint(tmp_path / "training.safetensors", "a")
    # a lock belongs to the open file, so that a second opening in this process stands for another process
    with kept.held(), pytest.raises(Busy, match="another process trains"), kept.held():
        pass
    with kept.held():
        kept.write({"a": torch.ones(2)}, {"big": 2**100})
    tensors, states = kept.read()
    assert states == {"big": 2**100}
    assert torch.equal(tensors["a"], torch.ones(2))


def test_a_crash_while_writing_leaves_the_state_before(tmp_path, monkeypatch):
    kept = Checkpoint(tmp_path / "training.safetensors", "a")
    kept.write({"a": torch.ones(2)}, {})
    monkeypatch.setattr(
        "insar_anomaly.detectors._checkpoint.os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full"))
    )
    with pytest.raises(OSError, match="disk full"):
        kept.write({"a": torch.zeros(2)}, {})
    assert torch.equal(kept.read()[0]["a"], torch.ones(2))


def test_fingerprint_sees_values_shapes_types_and_settings():
    a = np.arange(6.0).reshape(2, 3)
    prints = [
        fingerprint({}, a),
        fingerprint({}, a.reshape(3, 2)),
        fingerprint({}, a.astype("f4")),
        fingerprint({"b": 1}, a),
    ]
    assert len(set(prints)) == 4
    assert fingerprint({"b": 1, "a": 2}, a[:, ::1]) == fingerprint({"a": 2, "b": 1}, np.asfortranarray(a))


class Diverging:
    terms = ("loss",)

    def __init__(self) -> None:
        self.networks, self.optimisers = nn.Linear(1, 1), []

    def step(self, draws):
        return torch.tensor([torch.nan])


def test_a_training_that_diverges_says_so():
    with pytest.raises(NotFitted, match=r"diverged at step 1 .* lower learning_rate"):
        train(Diverging(), Course(3, 0, 10, None))


def test_crops_prefer_measured_ground_and_pad_small_tiles():
    phase = np.random.default_rng(0).normal(size=(3, 20, 40))
    phase[:, :, 20:] = np.nan
    phase[2] = np.nan
    crops = Crops(dataset(phase, [f"2020010{i}_20200201" for i in (1, 2, 3)]), "phase", 24)
    assert crops.values.shape == (3, 24, 40)
    rng = np.random.default_rng(0)
    drawn = np.stack([crops.draw(rng) for _ in range(50)])
    assert drawn.shape == (50, 24, 24)
    assert (drawn != 0).mean((1, 2)).min() > 0.4
    np.testing.assert_array_equal(drawn[:, 20:], np.repeat(drawn[:, 19:20], 4, 1))


# matched filter


def test_ledoit_wolf_is_scikit_learns():
    for n, p in ((12, 30), (80, 10)):
        x = np.random.default_rng(n).normal(size=(n, p)) @ np.diag(np.linspace(1, 3, p))
        x = x - x.mean(0)
        np.testing.assert_allclose(ledoit_wolf(x), oracle_ledoit_wolf(x, assume_centered=True)[0], rtol=1e-10, atol=1e-12)


def slow_filter(
    train: np.ndarray, x: np.ndarray, block: int, depths: tuple[float, ...], look: tuple[float, ...]
) -> np.ndarray:
    """The formula with an explicit inverse, one place, depth and block at a time; fully measured tiles of whole blocks."""
    v, u = (n // block for n in x.shape)

    def reduced(phase: np.ndarray) -> np.ndarray:
        means = np.array([[phase[block * i :][:block, block * j :][:, :block].mean() for j in range(u)] for i in range(v)])
        return (means - means.mean()).ravel()

    quiet_blocks = np.stack([reduced(p) for p in train])
    mean = quiet_blocks.mean(0)
    inverse = np.linalg.inv(oracle_ledoit_wolf(quiet_blocks - mean, assume_centered=True)[0])
    y, c = np.meshgrid(np.arange(v), np.arange(u), indexing="ij")
    plane = np.stack([np.ones(v * u), y.ravel(), c.ravel()], 1)
    out = np.zeros((v, u))
    for i, j in np.ndindex(v, u):
        for depth in depths:
            source = simulate.PointSource(block * i + (block - 1) / 2, block * j + (block - 1) / 2, depth, 3.0)
            t = reduced(source.phase(x.shape, pixel_km=PIXEL_KM, look=look))
            t = t - plane @ np.linalg.lstsq(plane, t, rcond=None)[0]
            out[i, j] = max(out[i, j], abs(t @ inverse @ (reduced(x) - mean)) / np.sqrt(t @ inverse @ t))
    return out


def test_matched_filter_is_the_slow_dense_formula(tiles):
    whole = tiles.assign(valid=tiles["valid"] | True)
    test = unrest(whole.isel(pair=[0, 1]), peak_cm=4)
    detector = MatchedFilter(depths_km=(1.0, 3.0))
    scores = detector.fit(whole).score(test)
    for n in range(2):
        slow = slow_filter(whole["phase"].values, test["phase"].values[n], 8, (1.0, 3.0), simulate.LOOK)
        np.testing.assert_allclose(scores["score_map"].values[n], slow, rtol=2e-4)
        np.testing.assert_allclose(scores["score"].values[n], slow.max(), rtol=2e-4)


def test_matched_filter_points_at_the_source():
    train, test = quiet(), quiet(seed=3, acquisitions=2)
    source = simulate.PointSource(row=44, col=60, depth_km=1.5, peak_cm=12)
    moved = test["phase"].values + source.phase((96, 104), pixel_km=PIXEL_KM)
    moved = dataset(np.where(test["valid"].values, moved, np.nan), [str(p) for p in test["pair"].values])
    for spacing, near in ((1, 1), (3, 2)):
        score_map = MatchedFilter(spacing=spacing).fit(train).score(moved)["score_map"].values[0]
        v, u = np.unravel_index(np.nanargmax(score_map), score_map.shape)
        assert max(abs(v - 44 // 8), abs(u - 60 // 8)) <= near


def test_wider_spacing_repeats_the_nearest_place(tiles):
    one = MatchedFilter(spacing=3).fit(tiles).score(tiles.assign(valid=tiles["valid"] | True))["score_map"].values
    seen = np.isfinite(one[0])
    assert seen.mean() > 0.8
    for v in range(0, one.shape[1], 3):
        for u in range(0, one.shape[2], 3):
            group = one[0, v : v + 3, u : u + 3]
            assert np.unique(group[np.isfinite(group)]).size <= 1


def test_block_means_and_centring_know_their_masks():
    rng = np.random.default_rng(0)
    phase, valid = rng.normal(size=(2, 11, 9)).astype(np.float32), rng.random((2, 11, 9)) > 0.4
    fast = block_means(phase, valid, 4, 0.5)
    for n, v, u in np.ndindex(fast.shape):
        place = (n, slice(4 * v, 4 * v + 4), slice(4 * u, 4 * u + 4))
        known = valid[place].mean() >= 0.5
        np.testing.assert_allclose(fast[n, v, u], phase[place][valid[place]].mean() if known else np.nan, rtol=1e-5)
    blocks = np.array([[1.0, np.nan, 3.0], [np.nan] * 3])
    np.testing.assert_array_equal(centred(blocks), [[-1, 0, 1], [0, 0, 0]])


def test_matched_filter_refuses_what_it_cannot_learn_from(tiles):
    with pytest.raises(ValueError, match="all the same"):
        MatchedFilter().fit(tiles.assign(phase=tiles["phase"] * 0))
    with pytest.raises(ValueError, match="fit this stack again"):
        MatchedFilter().fit(tiles).score(tiles.isel(y=slice(8, None)))


# GANomaly


def test_ganomaly_has_the_papers_shape():
    with torch.device("meta"):
        generator, discriminator = Generator(128, 64, 100), Discriminator(128, 64)
        crops = torch.empty(2, 1, 128, 128)
    redrawn, latent, again = generator(crops)
    assert redrawn.shape == crops.shape
    assert latent.shape == again.shape == (2, 100)
    chance, features = discriminator(crops)
    assert chance.shape == (2,)
    assert features.shape == (2, 1024, 4, 4)


def test_ganomaly_recipes_are_those_of_the_two_papers():
    parameters = [nn.Parameter(torch.zeros(1))]
    authors, original = (RECIPES[name].optimiser(parameters) for name in ("authors", "original"))
    assert (type(authors), authors.defaults["lr"]) == (torch.optim.AdamW, 1e-4)
    assert (type(original), original.defaults["lr"], original.defaults["betas"]) == (torch.optim.Adam, 2e-4, (0.5, 0.999))
    pair = torch.tensor([0.0, 2.0]), torch.tensor([0.0, 0.0])
    assert RECIPES["authors"].reconstruction(*pair) == 2
    assert RECIPES["original"].reconstruction(*pair) == 1


@pytest.mark.parametrize("change", [{"window": 96}, {"window": 8}, {"recipe": "ours"}, {"measure": "both"}])
def test_ganomaly_refuses_unknown_settings(change, tiles):
    with pytest.raises(ValueError, match=next(iter(change))):
        replace(SMALL["ganomaly"], **change).fit(tiles)


# diffusion


def test_correlated_noise_has_unit_variance_and_the_spectrum_it_says():
    noise = CorrelatedNoise(slope=3.0, outer=1000.0)(400, 64, torch.Generator().manual_seed(0))
    assert noise.shape == (400, 1, 64, 64)
    short = CorrelatedNoise(slope=8 / 3, outer=12.0)(400, 64, torch.Generator().manual_seed(0))
    assert abs(float(short.square().mean()) - 1) < 0.03
    assert abs(float(short.mean())) < 0.03
    # a tapered periodogram, since the fields are not periodic
    taper = np.outer(np.hanning(64), np.hanning(64))
    power = (np.abs(np.fft.fft2(noise[:, 0].numpy() * taper)) ** 2).mean(0)
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(64), np.fft.fftfreq(64)))
    band = (k > 4 / 64) & (k < 0.3)
    slope = np.polyfit(np.log(k[band]), np.log(power[band]), 1)[0]
    assert abs(slope + 3.0) < 0.15


def test_correlated_noise_has_the_covariance_of_its_spectrum():
    noise = CorrelatedNoise(slope=3.0, outer=8.0)(500, 32, torch.Generator().manual_seed(1))[:, 0].numpy()
    ky, kx = np.meshgrid(np.fft.fftfreq(64), np.fft.fftfreq(64), indexing="ij")
    power = (ky**2 + kx**2 + 8.0**-2) ** -1.5
    covariance = np.fft.ifft2(power / power.mean()).real
    # the last lag joins opposite edges: nearly independent, where a field that is not cropped would repeat itself
    for lag in (1, 3, 31):
        found = (noise[:, :, : 32 - lag] * noise[:, :, lag:]).mean()
        np.testing.assert_allclose(found, covariance[0, lag], atol=0.03)
    assert covariance[0, 31] < 0.1 < covariance[0, 1]


def test_white_noise_is_white():
    noise = WhiteNoise()(20, 64, torch.Generator().manual_seed(0))
    assert abs(float(noise.square().mean()) - 1) < 0.02
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.06


class Oracle(nn.Module):
    """Knows the clean crop, and so sees all of the noise."""

    def __init__(self, ladder: Ladder, clean: torch.Tensor) -> None:
        super().__init__()
        self.ladder, self.clean, self.asked = ladder, clean, []

    def forward(self, noisy, step):
        self.asked.append(int(step[0]))
        at = step[:, None, None, None]
        return (noisy - self.ladder.signal[at] * self.clean) / self.ladder.noise[at]


def test_both_samplers_find_the_clean_crop_where_the_noise_is_known():
    ladder = Ladder(torch.device("cpu"))
    clean = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8
    generator = torch.Generator().manual_seed(1)
    noisy = ladder.up(clean, WhiteNoise()(3, 8, generator), torch.full((3,), 99))
    for sampler, calls in ((Ancestral(ladder, WhiteNoise()), 100), (Ddim(ladder, 7), 7)):
        oracle = Oracle(ladder, clean)
        found = sampler(oracle, noisy, 99, generator)
        torch.testing.assert_close(found, clean, rtol=0, atol=1e-4)
        assert oracle.asked == sorted(oracle.asked, reverse=True)
        assert (oracle.asked[0], len(oracle.asked)) == (99, calls)


def test_the_ladder_is_the_papers():
    ladder = Ladder(torch.device("cpu"))
    kept = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    np.testing.assert_allclose(ladder.signal.numpy(), np.sqrt(kept), rtol=1e-5)
    np.testing.assert_allclose(ladder.signal.square() + ladder.noise.square(), 1, rtol=1e-5)


def test_the_u_net_has_the_papers_shape():
    with torch.device("meta"):
        network = UNet(64, (1, 2, 2, 4, 8), 2, 8)
        noise = network(torch.empty(2, 1, 128, 128), torch.zeros(2))
    assert noise.shape == (2, 1, 128, 128)
    # two on the way down at 1/8, one in the middle, three on the way up
    assert sum(isinstance(part, Attention) for part in network.modules()) == 6


@pytest.mark.parametrize("change", [{"window": 31}, {"noise": "pink"}, {"noise_to": 0}, {"sampler": "heun"}])
def test_diffusion_refuses_unknown_settings(change, tiles):
    with pytest.raises(ValueError, match=next(iter(change))):
        replace(SMALL["diffusion"], **change).fit(tiles)


def test_a_pair_meets_the_same_noise_whoever_its_neighbours_are(tiles):
    short = {"sampler": "ancestral", "noise_to": 3, "stride": 16}
    scorer = replace(SMALL["diffusion"], **short).fit(tiles)
    alone, together = scorer.score(tiles.isel(pair=[3])), scorer.score(tiles)
    np.testing.assert_array_equal(alone["score_map"].values[0], together["score_map"].values[3])


# supervised


def test_grey_is_the_wrapped_phase():
    phase = np.concatenate([np.random.default_rng(0).uniform(-40, 40, 1000), [0.0, 3.0, -np.pi]])
    expected = (np.angle(np.exp(1j * phase)) + np.pi) / (2 * np.pi)
    turned = np.abs(grey(phase) - expected)
    assert np.minimum(turned, 1 - turned).max() < 1e-5  # at the seam 0 and 1 are one phase
    assert grey(np.array(0.0)) == 0.5
    edge = grey(np.nextafter(np.pi, 0) + 2 * np.pi * np.arange(-3, 3))
    assert ((edge >= 0) & (edge < 1)).all()


def still(rng: np.random.Generator) -> np.ndarray:
    return np.zeros((64, 64))


def test_patches_of_one_draw_differ_by_the_source_alone():
    patches = Patches(64, PIXEL_KM, simulate.LOOK, (2.0, 15.0), (1.0, 4.0), (still,), None)
    flat = patches.draw(0, np.random.default_rng(3))
    assert np.ptp(flat) == 0
    rng = np.random.default_rng(3)
    turn, _ = rng.uniform(), rng.integers(1)
    source = simulate.draw_source((64, 64), rng, peak_cm=rng.uniform(2, 15), depth_km=(1.0, 4.0))
    expected = grey(source.phase((64, 64), pixel_km=PIXEL_KM) + turn * 2 * np.pi)
    np.testing.assert_array_equal(patches.draw(1, np.random.default_rng(3)), expected)


def test_simulated_air_loses_what_the_stack_lost():
    for removed, slope_stays in ((("plane",), False), ((), True)):
        air = SimulatedAtmosphere(64, PIXEL_KM, removed)(np.random.default_rng(0))
        slope = np.polyfit(np.arange(64), air.mean(1), 1)[0]
        assert abs(air.mean()) < 1e-9
        assert (abs(slope) > 1e-6) == slope_stays


def test_labelled_patches_are_drawn_by_label_and_checked():
    patches = np.stack([np.full((64, 64), value, np.float32) for value in (0.1, 0.2, 0.9)])
    labelled = Labelled.checked(patches, np.array([0, 0, 1]), 64)
    rng = np.random.default_rng(0)
    assert {float(labelled.draw(0, rng)[0, 0]) for _ in range(30)} == {np.float32(0.1), np.float32(0.2)}
    assert labelled.draw(1, rng)[0, 0] == np.float32(0.9)
    for wrong, labels, words in (
        (patches[:2], [0, 0, 1], "shape"),
        (patches * 255, [0, 0, 1], "8-bit"),
        (patches, [0, 0, 0], "both"),
    ):
        with pytest.raises(ValueError, match=words):
            Labelled.checked(wrong, np.array(labels), 64)


def test_cnn_learns_from_labelled_patches_and_records_which(tiles):
    rng = np.random.default_rng(0)
    patches, labels = rng.random((6, 64, 64), np.float32), np.arange(6) % 2
    one = replace(SMALL["cnn"], steps=2, labelled=(patches, labels)).fit(tiles)
    two = replace(SMALL["cnn"], steps=2, labelled=(patches / 2, labels)).fit(tiles)
    assert one.trained.settings["labelled"] != two.trained.settings["labelled"]
    json.dumps(one.trained.settings)


def test_alexnet_at_full_width_is_torchvisions():
    from insar_anomaly.detectors.backbone import torchvision_models

    with torch.device("meta"):
        theirs = torchvision_models().alexnet(weights=None, num_classes=2).state_dict()
        ours = alexnet(64, 0.5).state_dict()
    assert {k: t.shape for k, t in ours.items()} == {k: t.shape for k, t in theirs.items()}


def test_cnn_starts_from_given_weights_but_draws_its_own_last_layer(tiles):
    small = replace(SMALL["cnn"], learning_rate=1e-30, steps=1)  # changes no weight
    given = {k: torch.full_like(t, 0.01) for k, t in alexnet(4, 0.5).state_dict().items()}
    last = list(given)[-2]
    given[last] = torch.zeros(1000, given[last].shape[1])
    started = replace(small, network=given).fit(tiles).trained
    assert torch.equal(started.weights["features.0.weight"], given["features.0.weight"])
    assert started.weights[last].shape[0] == 2
    assert started.settings["network"] != "random"
    del given["features.0.weight"]
    with pytest.raises(ValueError, match=r"not the weights.*features\.0\.weight"):
        replace(small, network=given).fit(tiles)
    with pytest.raises(ValueError, match="at least 63"):
        replace(small, window=62).fit(tiles)


def test_cnn_scores_no_window_that_is_half_masked(tiles):
    scorer = replace(SMALL["cnn"], steps=1, stride=8).fit(tiles)
    rare = tiles.isel(pair=[0, 1]).copy(deep=True)
    rare["valid"][0] = np.arange(72) < 30
    scores = scorer.score(rare)
    assert np.isnan(scores["score"].values[0])
    assert np.isnan(scores["score_map"].values[0]).all()
    assert np.isfinite(scores["score"].values[1])


def test_detectors_do_not_know_each_other():
    folder = Path(__file__).parent.parent / "insar_anomaly" / "detectors"
    names = ("matched_filter", "ganomaly", "diffusion", "cnn", "padim")
    for one in names:
        text = (folder / f"{one}.py").read_text()
        assert not [other for other in names if f"detectors.{other} " in text or f"detectors import {other}" in text], one
