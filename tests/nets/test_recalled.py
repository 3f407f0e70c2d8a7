"""What is recalled is what was computed, and only for the same input."""

from __future__ import annotations

import pytest
import torch

from asbench.nets.recalled import Recalled, content


def test_the_same_input_is_computed_once_and_given_as_a_copy() -> None:
    calls = []

    def make() -> tuple[torch.Tensor, ...]:
        calls.append(1)
        return (torch.arange(4.0),)

    recalled = Recalled(1000)
    for _ in range(3):
        (given,) = recalled.of(b"key", make)
        assert given.tolist() == [0, 1, 2, 3]
        given.zero_()
    assert len(calls) == 1


def test_what_was_asked_for_least_recently_is_dropped() -> None:
    calls: list[bytes] = []

    def ask(key: bytes) -> None:
        def make() -> tuple[torch.Tensor, ...]:
            calls.append(key)
            return (torch.zeros(10),)

        recalled.of(key, make)

    recalled = Recalled(100)  # two of 40 bytes
    for key in (b"a", b"b", b"a", b"c", b"a", b"b"):
        ask(key)
    assert calls == [b"a", b"b", b"c", b"b"]


def test_what_exceeds_the_limit_is_not_held() -> None:
    recalled = Recalled(10)
    for value in (1.0, 2.0):
        given = recalled.of(b"key", lambda value=value: (torch.full((9,), value),))
        assert given[0][0] == value


@pytest.mark.parametrize(
    "other",
    [
        torch.tensor([1.0, 2.0, 3.5, 4.0]),
        torch.tensor([[1.0, 2.0], [3.0, 4.0]]),
        torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64),
    ],
)
def test_content_tells_numbers_shapes_and_types_apart(other: torch.Tensor) -> None:
    one = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert content(one) == content(torch.stack([one, one], dim=1)[:, 0])
    assert content(one) != content(other)
    assert content(one, one[:0]) != content(one)
