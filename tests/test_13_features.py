"""The frozen backbone: torchvision on every machine, weights that are what they say, embeddings against plain torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from insar_anomaly.detectors.backbone import (
    CHANNELS,
    Channels,
    Embedder,
    Trunk,
    Weights,
    digest,
    from_torchvision,
    named_weights,
    random_weights,
    torchvision_models,
)
from insar_anomaly.detectors.base import pack_network, unpacked_once

torch.set_num_threads(1)

BACKBONE = "resnet18"


def lively(name: str, seed: int = 3) -> torch.nn.Module:
    """A whole torchvision ResNet whose batch norms are not the identity."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        full: torch.nn.Module = getattr(torchvision_models(), name)(weights=None)
        for module in full.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 2)
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    return full.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def full() -> torch.nn.Module:
    return lively(BACKBONE)


@pytest.fixture(scope="module")
def weights(full: torch.nn.Module) -> Weights:
    return from_torchvision(BACKBONE, dict(full.state_dict()))


# ------------------------------------------------------------------------------------------------------ fresh processes


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory, closed_port_of_session: int) -> subprocess.CompletedProcess[str]:
    """A fresh process without a network and without cached weights that asks for ImageNet's."""
    code = """
import logging, sys
logging.basicConfig(format="%(levelname)s %(message)s")
from insar_anomaly.detectors.backbone import digest, named_weights, random_weights, torchvision_models
assert "torchvision" not in sys.modules
print(torchvision_models().__name__, hasattr(torchvision_models(), "resnet18"))
import torchvision
from torchvision.transforms import v2
print(v2.Resize(4).__class__.__name__)
found, name = named_weights("resnet18", "imagenet", seed=5)
print(name)
print(digest(found) == digest(random_weights("resnet18", 5)))
"""
    proxy = f"http://127.0.0.1:{closed_port_of_session}"
    environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")} | {
        "https_proxy": proxy,
        "http_proxy": proxy,
        "TORCH_HOME": str(tmp_path_factory.mktemp("empty")),
    }
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, env=environment, check=False
    )


@pytest.fixture(scope="module")
def closed_port_of_session() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_torchvision_imports_in_a_fresh_process_beside_whatever_torch_there_is(offline):
    assert offline.returncode == 0, offline.stderr
    assert offline.stdout.splitlines()[:2] == ["torchvision.models True", "Resize"]


def test_imagenet_weights_that_cannot_be_had_are_replaced_loudly_by_random_ones(offline):
    assert offline.stdout.splitlines()[-2:] == ["random (seed 5; imagenet could not be downloaded)", "True"], offline.stderr
    assert "WARNING ImageNet weights of resnet18 cannot be had" in offline.stderr
    assert "RANDOM weights (seed 5) are used instead" in offline.stderr


def test_torchvision_models_are_here_too_and_asking_twice_gives_the_same_module():
    assert torchvision_models() is torchvision_models()
    assert callable(torchvision_models().resnet18)


# ------------------------------------------------------------------------------------------------------ weights


def test_random_weights_follow_their_seed_and_leave_the_global_generator_alone():
    torch.manual_seed(11)
    before = torch.get_rng_state()
    one = random_weights(BACKBONE, 1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(12)
    again, other = random_weights(BACKBONE, 1), random_weights(BACKBONE, 2)
    assert digest(one) == digest(again)
    assert digest(one) != digest(other)
    assert all(torch.equal(one[k], again[k]) for k in one)


def test_the_digest_is_of_every_weight_and_of_nothing_else(weights):
    same = {k: weights[k].clone() for k in reversed(weights)}
    assert digest(same) == digest(weights)
    assert len(digest(weights)) == 16
    seen = {digest(weights)}
    for key in ("stem.0.weight", "layer3.1.bn2.running_var", "layer2.0.bn1.num_batches_tracked"):
        changed = {k: v.clone() for k, v in weights.items()}
        changed[key].view(-1)[0] += 1
        seen.add(digest(changed))
    assert len(seen) == 4
    renamed = {("x" + k if k == "stem.0.weight" else k): v for k, v in weights.items()}
    assert digest(renamed) not in seen


def test_named_weights_are_what_they_are_called():
    found, name = named_weights(BACKBONE, "random", seed=4)
    assert name == "random (seed 4)"
    assert digest(found) == digest(random_weights(BACKBONE, 4))
    with pytest.raises(ValueError, match=r"weights = 'imgenet'"):
        named_weights(BACKBONE, "imgenet", seed=4)
    with pytest.raises(ValueError, match=r"backbone = 'resnet19': choose one of resnet18, wide_resnet50_2"):
        Trunk("resnet19")


def test_cached_imagenet_weights_are_used_under_their_own_name(full, weights, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    url: str = torchvision_models().ResNet18_Weights.DEFAULT.url
    torch.save(full.state_dict(), folder / Path(url).name)
    found, name = named_weights(BACKBONE, "imagenet", seed=0)
    assert name == "imagenet"
    assert digest(found) == digest(weights)
    assert not caplog.records


def test_weights_of_another_network_are_refused_with_the_first_tensors(weights, full):
    with pytest.raises(ValueError, match=r"not those of wide_resnet50_2: \d+ tensors missing or misshapen, first \['"):
        from_torchvision("wide_resnet50_2", dict(full.state_dict()))
    lacking = {k: v for k, v in full.state_dict().items() if k != "layer2.0.conv1.weight"}
    with pytest.raises(ValueError, match=r"1 tensors missing or misshapen, first \['layer2.0.conv1.weight'\]"):
        from_torchvision(BACKBONE, lacking)
    with pytest.raises(ValueError, match="tensors missing"):
        from_torchvision(BACKBONE, {})


def test_weights_of_a_trunk_pass_through_unchanged_and_the_head_of_a_whole_network_is_dropped(weights, full):
    assert digest(from_torchvision(BACKBONE, weights)) == digest(weights)
    assert set(weights) == set(Trunk(BACKBONE).state_dict())
    assert any(k.startswith("layer4") for k in full.state_dict())


# ------------------------------------------------------------------------------------------------------ channels


@given(st.sampled_from(sorted(CHANNELS)), st.integers(0, 448), st.integers(0, 2**31))
def test_the_kept_channels_are_a_sorted_seeded_subset_split_by_layer(backbone, dims, seed):
    channels = Channels(backbone, dims, seed)
    chosen, total = channels.chosen, sum(CHANNELS[backbone])
    assert len(chosen) == (dims or total)
    assert (np.diff(chosen) > 0).all()
    assert chosen.min() >= 0
    assert chosen.max() < total
    np.testing.assert_array_equal(chosen, Channels(backbone, dims, seed).chosen)
    start = 0
    for layer, width in enumerate(CHANNELS[backbone]):
        own = channels.of_layer(layer)
        np.testing.assert_array_equal(own, [c - start for c in chosen if start <= c < start + width])
        assert (channels.layer == layer).sum() == len(own)
        start += width


def test_another_seed_keeps_other_channels_and_every_channel_has_its_chance():
    kept = [Channels(BACKBONE, 100, seed).chosen for seed in range(60)]
    assert not np.array_equal(kept[0], kept[1])
    assert set(np.concatenate(kept)) == set(range(448))


@pytest.mark.parametrize("dims", [-1, 449])
def test_more_channels_than_there_are_is_refused(dims):
    with pytest.raises(ValueError, match=rf"dims = {dims}: resnet18 has 448 channels"):
        _ = Channels(BACKBONE, dims, 0).chosen


# ------------------------------------------------------------------------------------------------------ embeddings


def layer_maps(full: Any, tiles: np.ndarray) -> list[np.ndarray]:
    """Maps (tile, channel, v, u) of layer1..3 by torchvision's own forward, through hooks."""
    maps: list[np.ndarray] = []
    hooks = [
        getattr(full, f"layer{i}").register_forward_hook(lambda _m, _i, out: maps.append(out.numpy())) for i in (1, 2, 3)
    ]
    full(torch.as_tensor(tiles)[:, None].repeat(1, 3, 1, 1))
    for hook in hooks:
        hook.remove()
    return maps


def slow(full: Any, tiles: np.ndarray, chosen: np.ndarray, stride: int) -> np.ndarray:
    """Embeddings cell by cell: join all channels of all layers first, then choose."""
    n, height, width = tiles.shape
    v, u = -(-height // stride), -(-width // stride)
    maps = layer_maps(full, tiles)
    out = np.zeros((n, v, u, sum(m.shape[1] for m in maps)), np.float32)
    for i in range(v):
        for j in range(u):
            cell = []
            for one, own in zip(maps, (4, 8, 16), strict=True):
                if own >= stride:
                    cell.append(one[:, :, i * stride // own, j * stride // own])
                else:
                    r = stride // own
                    cell.append(one[:, :, i * r : (i + 1) * r, j * r : (j + 1) * r].mean((2, 3)))
            out[:, i, j] = np.concatenate(cell, 1)
    return out[..., chosen]


def drawn(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.tanh(np.random.default_rng(seed).normal(size=shape)).astype(np.float32)


@pytest.mark.parametrize("stride", [4, 8, 16])
@pytest.mark.parametrize("size", [(64, 64), (61, 47), (33, 90)])
def test_embeddings_are_those_of_plain_torch_on_every_grid(full, weights, stride, size):
    channels = Channels(BACKBONE, 37, 1)
    embedder = Embedder(BACKBONE, weights, channels, stride=stride)
    tiles = drawn((2, *size))
    found = embedder(tiles).cpu().numpy()
    wanted = slow(full, tiles, channels.chosen, stride)
    assert found.shape[1:3] == embedder.grid(size) == wanted.shape[1:3]
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([4, 8, 16]))
def test_every_size_of_tile_fits_its_grid(height, width, stride):
    embedder = _few(stride)
    assert embedder(drawn((1, height, width))).shape == (1, -(-height // stride), -(-width // stride), 6)


_EMBEDDERS: dict[int, Embedder] = {}


def _few(stride: int) -> Embedder:
    if stride not in _EMBEDDERS:
        _EMBEDDERS[stride] = Embedder(BACKBONE, random_weights(BACKBONE, 0), Channels(BACKBONE, 6, 0), stride=stride)
    return _EMBEDDERS[stride]


def test_all_channels_are_kept_where_dims_is_zero(full, weights):
    tiles = drawn((1, 32, 48))
    found = Embedder(BACKBONE, weights, Channels(BACKBONE, 0, 0), stride=8)(tiles).cpu().numpy()
    wanted = slow(full, tiles, np.arange(448), 8)
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())


def test_layers_come_on_their_own_grids_with_their_own_channels(full, weights):
    channels = Channels(BACKBONE, 30, 2)
    tiles = drawn((2, 45, 70))
    maps = layer_maps(full, tiles)
    for i, found in enumerate(Embedder(BACKBONE, weights, channels).layers(tiles)):
        wanted = maps[i][:, channels.of_layer(i)].transpose(0, 2, 3, 1)
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found.cpu().numpy(), wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())


def test_a_tile_has_the_same_embedding_alone_and_in_a_batch():
    tiles = drawn((3, 40, 56))
    together = _few(8)(tiles)
    for i in range(3):
        np.testing.assert_allclose(_few(8)(tiles[i : i + 1])[0].cpu(), together[i].cpu(), rtol=1e-4, atol=1e-5)


def test_the_sign_of_a_tile_matters():
    tiles = drawn((1, 40, 40))
    assert float((_few(8)(tiles) - _few(8)(-tiles)).abs().max()) > 0.05


def test_the_wide_backbone_has_the_channels_that_are_written_down():
    tiles = drawn((1, 32, 32))
    weights = random_weights("wide_resnet50_2", 0)
    maps = list(Embedder("wide_resnet50_2", weights, Channels("wide_resnet50_2", 0, 0)).layers(tiles))
    assert tuple(m.shape[-1] for m in maps) == CHANNELS["wide_resnet50_2"]


@pytest.mark.parametrize("stride", [0, 2, 6, 32])
def test_a_stride_that_is_none_of_the_trunks_is_refused(weights, stride):
    with pytest.raises(ValueError, match=f"stride = {stride}: patches are 4, 8 or 16 pixels wide"):
        Embedder(BACKBONE, weights, Channels(BACKBONE, 5, 0), stride=stride)


def test_the_trunk_is_frozen(weights):
    trunk = Trunk(BACKBONE)
    assert not trunk.training
    assert not any(p.requires_grad for p in trunk.parameters())


@pytest.mark.parametrize(("backbone", "shape"), [(BACKBONE, (96, 104)), (BACKBONE, (77, 83)), ("wide_resnet50_2", (64, 51))])
def test_folding_the_network_changes_features_by_rounding_only(backbone, shape):
    weights = random_weights(backbone, 1)
    rng = np.random.default_rng(0)
    for name, tensor in weights.items():  # normalisation that does something
        if tensor.ndim == 1:
            weights[name] = torch.as_tensor(rng.uniform(0.5, 1.5, tensor.shape), dtype=tensor.dtype)
    tiles = rng.normal(0, 0.3, (2, *shape)).astype(np.float32)
    channels = Channels(backbone, 60, 0)
    trunk = Trunk(backbone)
    trunk.load_state_dict(weights)
    wanted = trunk(torch.as_tensor(tiles))
    for i, found in enumerate(Embedder(backbone, weights, channels).layers(tiles)):
        exact = wanted[i][:, channels.of_layer(i)].permute(0, 2, 3, 1)
        assert exact.std() > 0
        np.testing.assert_allclose(found.cpu(), exact, atol=float(1e-4 * exact.std()), rtol=1e-4)


def test_layers_of_which_no_channel_is_chosen_are_not_computed():
    weights, tiles = random_weights(BACKBONE, 0), np.zeros((1, 40, 52), np.float32)
    shallow = next(seed for seed in range(10_000) if not len(Channels(BACKBONE, 2, seed).of_layer(2)))
    with pytest.MonkeyPatch.context() as patch:
        embedder = Embedder(BACKBONE, weights, Channels(BACKBONE, 2, shallow), stride=8)
        patch.setattr(embedder._trunk, "_layers", [*embedder._trunk._layers[:2], None])
        assert embedder(tiles).shape == (1, 5, 7, 2)


def test_tiles_that_do_not_fit_into_the_memory_go_by_halves():
    """A GPU says that it is full; here the trunk says so for more than three tiles at a time."""
    embedder = Embedder("resnet18", random_weights("resnet18", 0), Channels("resnet18", 20, 0), stride=8)
    tiles = np.random.default_rng(0).uniform(-1, 1, (11, 32, 40)).astype(np.float32)
    whole, sizes = embedder(tiles), []

    trunk, most = embedder._trunk, 3

    def small(grey: torch.Tensor) -> Any:
        if len(grey) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        sizes.append(len(grey))
        return trunk(grey)

    embedder._trunk = small
    torch.testing.assert_close(embedder(tiles), whole)
    assert sum(sizes) == 11
    assert max(sizes) <= 3
    most = 0
    with pytest.raises(torch.OutOfMemoryError):
        embedder(tiles[:1])


# ------------------------------------------------------------------------------------------------------ shared networks


def test_networks_of_the_same_bytes_are_unpacked_once_and_others_are_never_taken_for_them():
    """Three networks in turn, more than a process keeps: each model gets its own weights, whoever came before."""
    networks = [random_weights(BACKBONE, seed) for seed in range(3)]
    packed = [pack_network(one) for one in networks]
    for turn in (0, 0, 1, 2, 0, 2):
        found = unpacked_once(packed[turn].copy(deep=True))
        assert digest(found) == digest(networks[turn])
    assert unpacked_once(packed[2].copy(deep=True)) is found


def test_folding_is_kept_for_a_network_and_not_for_its_channels():
    """Two choices of channels on one network give what a network folded anew gives, in any order."""
    tile = np.random.default_rng(5).normal(size=(1, 64, 64)).astype(np.float32).clip(-1, 1)
    kept, choices = random_weights(BACKBONE, 1), [Channels(BACKBONE, dims, 0) for dims in (20, 60, 0)]
    for choice in [*choices, *reversed(choices)]:
        anew = Embedder(BACKBONE, dict(kept), choice, stride=8)(tile)
        assert torch.equal(Embedder(BACKBONE, kept, choice, stride=8)(tile), anew)
    others = Embedder(BACKBONE, random_weights(BACKBONE, 2), choices[0], stride=8)(tile)
    assert not torch.equal(others, Embedder(BACKBONE, kept, choices[0], stride=8)(tile))
