"""Every method still gives the bytes on file, and the file is not rewritten behind its back."""

from __future__ import annotations

import pytest

from asbench.testing.synthesizers import hand_crafted
from tests import golden


@pytest.mark.parametrize("name", hand_crafted())
def test_pixels_are_those_on_file(name: str) -> None:
    entries = golden.stored()
    assert name in entries, f"{name} has no golden digest yet: run `make golden`"
    old, new = entries[name], golden.current(name)
    assert old["digest"] == new["digest"], (
        golden.refusal(name, old, new) or "run `make golden` and say why in the commit"
    )
    assert old["pixel_version"] == new["pixel_version"], "run `make golden`"


def test_no_digest_of_a_method_that_is_gone() -> None:
    assert set(golden.stored()) == set(hand_crafted()), "run `make golden`"


def test_a_changed_digest_needs_a_higher_pixel_version() -> None:
    old = {"pixel_version": 1, "digest": "a", "libraries": {"numpy": "1"}}
    changed = old | {"digest": "b"}
    assert "raise it" in golden.refusal("mine", old, changed)
    assert golden.refusal("mine", old, old) == ""
    assert golden.refusal("mine", old, changed | {"pixel_version": 2}) == ""
    moved = changed | {"libraries": {"numpy": "2"}}
    assert "'numpy': '1'" in golden.refusal("mine", old, moved)
    assert golden.refusal("mine", old, moved, new_libraries=True) == ""
    assert "raise it" in golden.refusal("mine", old, changed, new_libraries=True)
