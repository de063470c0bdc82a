"""The U-Net of denoising diffusion (Ho et al. 2020; Dhariwal and Nichol 2021), for one grey channel."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class UNet(nn.Module):
    """Guesses the noise in noisy crops.

    Parameters
    ----------
    width : features at full resolution
    multipliers : features of each level, in multiples of `width`; every level but the last halves the crop
    blocks : residual blocks per level on the way down (one more on the way up)
    attention_at : downsampling factor of the level that attends to all of its places; the deepest level always does once
    """

    def __init__(self, width: int, multipliers: Sequence[int], blocks: int, attention_at: int) -> None:
        super().__init__()
        self.width = width
        time = 4 * width
        self.time = nn.Sequential(nn.Linear(width, time), nn.SiLU(), nn.Linear(time, time))
        self.down = nn.ModuleList([nn.ModuleList([nn.Conv2d(1, width, 3, padding=1)])])
        features, left = width, [width]
        for level, multiplier in enumerate(multipliers):
            for _ in range(blocks):
                self.down.append(_stage(features, width * multiplier, time, attend=attention_at == 2**level))
                features = width * multiplier
                left.append(features)
            if level < len(multipliers) - 1:
                self.down.append(nn.ModuleList([nn.Conv2d(features, features, 3, 2, 1)]))
                left.append(features)
        self.middle = nn.ModuleList(
            [Residual(features, features, time), Attention(features), Residual(features, features, time)]
        )
        self.up = nn.ModuleList()
        for level, multiplier in reversed(list(enumerate(multipliers))):
            for block in range(blocks + 1):
                stage = _stage(features + left.pop(), width * multiplier, time, attend=attention_at == 2**level)
                features = width * multiplier
                if level and block == blocks:
                    stage.append(Doubled(features))
                self.up.append(stage)
        last = nn.Conv2d(features, 1, 3, padding=1)
        nn.init.zeros_(last.weight)
        self.out = nn.Sequential(_norm(features), nn.SiLU(), last)

    def forward(self, noisy: Tensor, step: Tensor) -> Tensor:
        """Noise (n, 1, y, x) in crops (n, 1, y, x) at diffusion steps (n,); y and x are multiples of 2^(levels - 1)."""
        time = self.time(_clock(step, self.width))
        out, left = noisy, []
        for stage in self.down:
            out = _through(stage, out, time)
            left.append(out)
        out = _through(self.middle, out, time)
        for stage in self.up:
            out = _through(stage, torch.cat([out, left.pop()], 1), time)
        guess: Tensor = self.out(out)
        return guess


class Residual(nn.Module):
    """Two convolutions around the time of the diffusion, added to what came in."""

    def __init__(self, features: int, out: int, time: int) -> None:
        super().__init__()
        self.first = nn.Sequential(_norm(features), nn.SiLU(), nn.Conv2d(features, out, 3, padding=1))
        self.time = nn.Sequential(nn.SiLU(), nn.Linear(time, out))
        self.second = nn.Sequential(_norm(out), nn.SiLU(), nn.Conv2d(out, out, 3, padding=1))
        self.past = nn.Identity() if features == out else nn.Conv2d(features, out, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Features (n, out, y, x) of (n, features, y, x) and time (n, time)."""
        out: Tensor = self.past(x) + self.second(self.first(x) + self.time(time)[..., None, None])
        return out


class Attention(nn.Module):
    """Every place attends to every other, in heads of at most 64 features."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.heads = max(1, features // 64)
        self.norm = _norm(features)
        self.ask = nn.Conv2d(features, 3 * features, 1)
        self.answer = nn.Conv2d(features, features, 1)

    def forward(self, x: Tensor) -> Tensor:
        """As many features (n, features, y, x) as came in."""
        n, features, y, x_size = x.shape
        asked = self.ask(self.norm(x)).reshape(n, 3, self.heads, features // self.heads, y * x_size)
        query, key, value = asked.transpose(-1, -2).unbind(1)
        heard = functional.scaled_dot_product_attention(query, key, value)
        out: Tensor = x + self.answer(heard.transpose(-1, -2).reshape(n, features, y, x_size))
        return out


class Doubled(nn.Module):
    """Twice as many pixels, smoothed by one convolution."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.smooth = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, features, y, x) to (n, features, 2 y, 2 x)."""
        out: Tensor = self.smooth(functional.interpolate(x, scale_factor=2, mode="nearest"))
        return out


def _stage(features: int, out: int, time: int, *, attend: bool) -> nn.ModuleList:
    return nn.ModuleList([Residual(features, out, time), *([Attention(out)] if attend else [])])


def _through(stage: nn.Module, x: Tensor, time: Tensor) -> Tensor:
    for part in stage.children():
        x = part(x, time) if isinstance(part, Residual) else part(x)
    return x


def _norm(features: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(32, features), features)


def _clock(step: Tensor, features: int) -> Tensor:
    """Sines and cosines (n, features) of the diffusion step (n,); Vaswani et al. 2017, section 3.5."""
    half = features // 2
    rates = torch.exp(-math.log(10_000) / half * torch.arange(half, device=step.device))
    angle = step[:, None].float() * rates
    return torch.cat([angle.cos(), angle.sin()], 1)
