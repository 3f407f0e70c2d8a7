"""torch's chance, from addresses: seeds are functions of where a draw stands, never of order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from synth_store.rng import address_rng


def address_seed(*address: str | int) -> int:
    """Return the seed of an address, for any of torch's generators."""
    return int(address_rng(*address).integers(2**63))


def address_generator(*address: str | int) -> torch.Generator:
    """Return a CPU generator seeded from an address."""
    return torch.Generator().manual_seed(address_seed(*address))


@contextmanager
def private_rng(device: torch.device | str = "cpu") -> Iterator[None]:
    """Give back torch's global generators (CPU, and `device` if CUDA) as they were found."""
    device = torch.device(device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def seed_rng(seed: int, device: torch.device | str = "cpu") -> None:
    """Seed torch's global CPU generator, and that of `device` if CUDA. Call in `private_rng`.

    `torch.manual_seed` would reach every device, also those that nobody gives back.
    """
    device = torch.device(device)
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
