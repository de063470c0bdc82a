"""A trunk's arithmetic with nothing in it that a score does not need.

The result is that of `backbone.Trunk` to rounding in float32: batch normalisation is folded into the convolutions (Jacob et
al. 2018, section 3.2), the three equal input channels into one, and the last block computes the chosen channels only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

KEPT = 2
"""Networks of which a process keeps the arithmetic: an installation has one, and a second one while models change over."""
_EPS = 1e-5
"""What torchvision's batch normalisation adds to a variance."""


@dataclass(frozen=True)
class _Conv:
    """A convolution with its normalisation: ``kernel`` (out, in, y, x), ``bias`` (out,)."""

    kernel: Tensor
    bias: Tensor
    stride: int = 1

    def __call__(self, maps: Tensor) -> Tensor:
        pad = self.kernel.shape[-1] // 2
        return nn.functional.conv2d(maps, self.kernel, self.bias, stride=self.stride, padding=pad)

    def only(self, channels: Tensor) -> _Conv:
        """These output channels of it."""
        return _Conv(_laid_out(self.kernel[channels]), self.bias[channels], self.stride)


@dataclass(frozen=True)
class _Block:
    """A residual block: its convolutions, the one beside them where there is one, and the channels that are wanted."""

    convs: tuple[_Conv, ...]
    beside: _Conv | None
    kept: Tensor | None = None

    def __call__(self, maps: Tensor) -> Tensor:
        out = maps
        for conv in self.convs[:-1]:
            out = conv(out).relu_()
        out = self.convs[-1](out)
        if self.beside is not None:
            maps = self.beside(maps)
        elif self.kept is not None:
            maps = maps[:, self.kept]
        return out.add_(maps).relu_()

    def only(self, channels: Tensor) -> _Block:
        """The block that computes these output channels."""
        beside = None if self.beside is None else self.beside.only(channels)
        return _Block((*self.convs[:-1], self.convs[-1].only(channels)), beside, channels)


@dataclass(frozen=True)
class _Stem:
    """conv1 on one channel: its 7 x 7 kernel with stride 2 as a 4 x 4 kernel on the four pixels of each 2 x 2 square.

    That is the same sum. One input channel would be laid out in a way for which the kernels that follow are slow.
    """

    kernel: Tensor
    bias: Tensor

    @classmethod
    def of(cls, conv: _Conv) -> _Stem:
        """From conv1 on three channels that are always equal."""
        even = nn.functional.pad(conv.kernel.sum(1, keepdim=True), (0, 1, 0, 1))
        return cls(_laid_out(nn.functional.pixel_unshuffle(even, 2)), conv.bias)

    def __call__(self, grey: Tensor) -> Tensor:
        height, width = ((size + 1) // 2 * 2 + 6 for size in grey.shape[1:])
        wide = nn.functional.pad(grey[:, None], (3, width - 3 - grey.shape[2], 3, height - 3 - grey.shape[1]))
        squares = nn.functional.pixel_unshuffle(wide, 2).contiguous(memory_format=torch.channels_last)
        return nn.functional.conv2d(squares, self.kernel, self.bias)


@dataclass(frozen=True)
class _Whole:
    """The arithmetic of a network with all of its channels."""

    stem: _Stem
    layers: tuple[tuple[_Block, ...], ...]

    @classmethod
    def of(cls, weights: Mapping[str, Tensor], where: torch.device) -> _Whole:
        """Fold a network; one whose weights are the same object as before was folded then."""
        for kept, place, whole in tuple(_folded_before):
            if kept is weights and place == where:
                return whole
        state = {name: tensor.to(where) for name, tensor in weights.items() if tensor.is_floating_point()}
        stem = _Stem.of(_folded(state, "stem.0", "stem.1", stride=2))
        whole = cls(stem, tuple(tuple(_blocks(state, f"layer{i}.", stride=min(i, 2))) for i in (1, 2, 3)))
        _folded_before.append((weights, where, whole))
        return whole


_folded_before: deque[tuple[Mapping[str, Tensor], torch.device, _Whole]] = deque(maxlen=KEPT)


class FoldedTrunk:
    """conv1 .. layer3 of a ResNet on grey tiles, frozen.

    Parameters
    ----------
    weights : state of a `backbone.Trunk`; not to be changed afterwards
    wanted : channels of layer1, layer2 and layer3 that are given back, in this order
    where : device
    """

    def __init__(self, weights: Mapping[str, Tensor], wanted: tuple[Tensor, Tensor, Tensor], where: torch.device) -> None:
        whole = _Whole.of(weights, where)
        self._stem, self._layers, self._wanted = whole.stem, whole.layers, wanted
        if len(wanted[2]):
            *first, last = self._layers[2]
            self._layers = (*self._layers[:2], (*first, last.only(wanted[2])))

    def __call__(self, grey: Tensor) -> Iterator[Tensor]:
        """Wanted channels (n, channel, v, u) of each layer of tiles (n, y, x); the layers below the last wanted one only."""
        maps = nn.functional.max_pool2d(self._stem(grey).relu_(), 3, 2, 1)
        for number, (layer, wanted) in enumerate(zip(self._layers, self._wanted, strict=True)):
            if not any(map(len, self._wanted[number:])):
                height, width = (-(-size // (4 << number)) for size in grey.shape[1:])
                yield maps.new_empty(len(grey), 0, height, width)
                continue
            for block in layer:
                maps = block(maps)
            yield maps if number == 2 else maps[:, wanted]


def _blocks(state: Mapping[str, Tensor], prefix: str, *, stride: int) -> list[_Block]:
    """The blocks of one layer; `stride` is the first one's, at its first 3 x 3 convolution as torchvision has it."""
    numbers = sorted({int(name[len(prefix) :].split(".")[0]) for name in state if name.startswith(prefix)})
    out = []
    for number in numbers:
        own = f"{prefix}{number}."
        step, convs = stride if number == 0 else 1, []
        for i in (1, 2, 3):
            if f"{own}conv{i}.weight" not in state:
                continue
            strided = state[f"{own}conv{i}.weight"].shape[-1] == 3
            convs.append(_folded(state, f"{own}conv{i}", f"{own}bn{i}", stride=step if strided else 1))
            step = 1 if strided else step
        has = f"{own}downsample.0.weight" in state
        first = stride if number == 0 else 1
        beside = _folded(state, f"{own}downsample.0", f"{own}downsample.1", stride=first) if has else None
        out.append(_Block(tuple(convs), beside))
    return out


def _folded(state: Mapping[str, Tensor], conv: str, norm: str, *, stride: int) -> _Conv:
    """A convolution and the normalisation after it as one convolution; folded in float64."""
    kernel, *rest = (
        state[name].to(torch.float64)
        for name in (f"{conv}.weight", f"{norm}.weight", f"{norm}.bias", f"{norm}.running_mean", f"{norm}.running_var")
    )
    gain, shift, mean, variance = rest
    gain = gain / (variance + _EPS).sqrt()
    folded = (kernel * gain[:, None, None, None]).to(torch.float32)
    return _Conv(_laid_out(folded), (shift - mean * gain).to(torch.float32), stride)


def _laid_out(kernel: Tensor) -> Tensor:
    return kernel.contiguous(memory_format=torch.channels_last)
