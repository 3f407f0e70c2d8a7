"""DSR's autoencoder: two grids of codes, the finer one told by the coarser.

Zavrtanik et al., DSR, ECCV 2022, section 3.1, after Razavi et al., VQ-VAE-2, NeurIPS 2019.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synth_store.types import UserError

EPSILON = 1e-5
STALE = 0.05
"""Of the mean use: codes used less are put elsewhere."""
PUBLISHED = {
    "_encoder_b._conv_1": "fine.first",
    "_encoder_b._conv_2": "fine.second",
    "_encoder_b._conv_3": "fine.third",
    "_encoder_t._conv_1": "coarse.first",
    "_encoder_t._conv_2": "coarse.second",
    "_pre_vq_conv_bot": "to_fine",
    "_pre_vq_conv_top": "to_coarse",
    "_decoder_b._conv_1": "decoder.first",
    "_decoder_b._conv_trans_1": "decoder.second",
    "_decoder_b._conv_trans_2": "decoder.third",
    "upsample_t": "enlarge",
}
"""The authors' names of layers, and ours."""
STACKS = {"_encoder_b": "fine", "_encoder_t": "coarse", "_decoder_b": "decoder"}
BOOKS = {"_vq_vae_bot": "fine_book", "_vq_vae_top": "coarse_book"}
TABLES = {"_embedding.weight": "codes", "_ema_cluster_size": "uses", "_ema_w": "sums"}


class Block(nn.Module):
    """relu(x) + W2 relu(W1 relu(x)): the first rectifier works in place upstream."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, inner, 3, padding=1, bias=False)
        self.second = nn.Conv2d(inner, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x)
        y: Tensor = self.second(F.relu(self.first(x)))
        return x + y


class Stack(nn.Sequential):
    """Residual blocks, rectified."""

    def __init__(self, width: int, inner: int, blocks: int) -> None:
        super().__init__(*(Block(width, inner) for _ in range(blocks)), nn.ReLU())


class FineEncoder(nn.Module):
    """Images, (N, 3, s, s), to features (N, width, s / 4, s / 4)."""

    def __init__(self, width: int, inner: int, blocks: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width // 2, 4, 2, padding=1)
        self.second = nn.Conv2d(width // 2, width, 4, 2, padding=1)
        self.third = nn.Conv2d(width, width, 3, padding=1)
        self.stack = Stack(width, inner, blocks)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.stack(self.third(F.relu(self.second(F.relu(self.first(x))))))
        return y


class CoarseEncoder(nn.Module):
    """The fine encoder's features to ones of half the side."""

    def __init__(self, width: int, inner: int, blocks: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 4, 2, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.stack = Stack(width, inner, blocks)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.stack(F.relu(self.second(F.relu(self.first(x)))))
        return y


class Decoder(nn.Module):
    """Codes of both grids, (N, 2 length, s / 4, s / 4), to images (N, 3, s, s)."""

    def __init__(self, length: int, width: int, inner: int, blocks: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(2 * length, width, 3, padding=1)
        self.stack = Stack(width, inner, blocks)
        self.second = nn.ConvTranspose2d(width, width // 2, 4, 2, padding=1)
        self.third = nn.ConvTranspose2d(width // 2, 3, 4, 2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.third(F.relu(self.second(self.stack(self.first(x)))))
        return y


class Codebook(nn.Module):
    """Codes as running averages of the features they stand for."""

    codes: Tensor
    uses: Tensor
    sums: Tensor

    def __init__(self, count: int, length: int) -> None:
        super().__init__()
        self.register_buffer("codes", torch.randn(count, length))
        self.register_buffer("uses", torch.zeros(count))
        self.register_buffer("sums", torch.zeros(count, length))

    def distances(self, features: Tensor) -> Tensor:
        """Return squared distances of features, (n, length), to all codes: (n, count)."""
        return (
            features.square().sum(dim=1, keepdim=True)
            + self.codes.square().sum(dim=1)
            - 2 * features @ self.codes.T
        )

    def nearest(self, features: Tensor) -> Tensor:
        """Return the codes that stand for features, both (N, length, h, w)."""
        return self.drawn(features, self.distances(flat(features)).argmin(dim=1))

    def drawn(self, like: Tensor, numbers: Tensor) -> Tensor:
        """Return codes by number, int64 (N h w,), as (N, length, h, w) of `like`'s shape."""
        count, _, height, width = like.shape
        return self.codes[numbers].view(count, height, width, -1).permute(0, 3, 1, 2)

    @torch.no_grad()
    def learn(self, features: Tensor, decay: float, fresh: Tensor | None) -> None:
        """Move the codes towards the features that are theirs, (N, length, h, w).

        fresh: where features for unused codes are taken from, int64 (count,), modulo their number;
        None to leave unused codes alone.
        """
        rows = flat(features)
        chosen = F.one_hot(self.distances(rows).argmin(dim=1), len(self.codes)).to(rows)
        self.uses.lerp_(chosen.sum(dim=0), 1 - decay)
        self.sums.lerp_(chosen.T @ rows, 1 - decay)
        if fresh is not None:
            stale = self.uses < STALE * self.uses.mean()
            taken = rows[fresh.to(rows.device) % len(rows)]
            usual = self.uses.mean()
            self.sums.copy_(torch.where(stale[:, None], taken * usual, self.sums))
            self.uses.copy_(torch.where(stale, usual, self.uses))
        total = self.uses.sum()
        smooth = (self.uses + EPSILON) / (total + len(self.uses) * EPSILON) * total
        self.codes.copy_(self.sums / smooth[:, None])


class Autoencoder(nn.Module):
    """Images in 0..1, blue first as the authors read them, to codes and back."""

    def __init__(self, width: int, inner: int, blocks: int, count: int, length: int) -> None:
        super().__init__()
        self.fine = FineEncoder(width, inner, blocks)
        self.coarse = CoarseEncoder(width, inner, blocks)
        self.to_fine = nn.Conv2d(width + length, length, 1)
        self.to_coarse = nn.Conv2d(width, length, 1)
        self.fine_book = Codebook(count, length)
        self.coarse_book = Codebook(count, length)
        self.enlarge = nn.ConvTranspose2d(length, length, 4, 2, padding=1)
        self.decoder = Decoder(length, width, inner, blocks)

    def seen(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return fine and coarse features of images, the coarse ones to be coded already."""
        fine = self.fine(images)
        return fine, self.to_coarse(self.coarse(fine))

    def told(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Return the fine features to be coded, given the coarse codes."""
        y: Tensor = self.to_fine(torch.cat((fine, self.enlarge(coarse)), dim=1))
        return y

    def decode(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Return the images of codes."""
        y: Tensor = self.decoder(torch.cat((self.enlarge(coarse), fine), dim=1))
        return y


def flat(features: Tensor) -> Tensor:
    """Return (N, length, h, w) as (N h w, length)."""
    return features.permute(0, 2, 3, 1).flatten(0, 2)


def load_published(net: Autoencoder, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Fill an autoencoder with the authors' weights.

    tensors: as read from `path`, under their names. Raises UserError for the first misfit.
    """
    state = dict(net.state_dict())
    names = dict(_names(net))
    for name in sorted(names.keys() | tensors.keys()):
        there, here = tensors.get(name), state.get(names.get(name, ""))
        if there is None or here is None or there.shape != here.shape:
            told = ["missing" if each is None else str(tuple(each.shape)) for each in (there, here)]
            raise UserError(
                f"{path} is not DSR's autoencoder: {name!r} is {told[0]} there and {told[1]} here."
            )
        state[names[name]] = there.to(torch.float32)
    net.load_state_dict(state)


def _names(net: Autoencoder) -> Iterator[tuple[str, str]]:
    """Yield the authors' name and ours of every tensor."""
    for theirs, ours in PUBLISHED.items():
        for end in ("weight", "bias"):
            yield f"{theirs}.{end}", f"{ours}.{end}"
    for theirs, ours in STACKS.items():
        stack = net.get_submodule(f"{ours}.stack")
        for block in range(len(list(stack.children())) - 1):
            for place, layer in ((1, "first"), (3, "second")):
                yield (
                    f"{theirs}._residual_stack._layers.{block}._block.{place}.weight",
                    f"{ours}.stack.{block}.{layer}.weight",
                )
    for theirs, ours in BOOKS.items():
        for their_table, table in TABLES.items():
            yield f"{theirs}.{their_table}", f"{ours}.{table}"
