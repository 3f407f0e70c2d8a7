"""The one way in which metadata is written is that of the standard library."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from synth_store.metadata import encode

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES: st.SearchStrategy[Any] = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner)
)


@given(st.dictionaries(st.text() | st.integers(), VALUES))
def test_it_is_json_with_an_indent_of_one(document: dict[Any, Any]) -> None:
    assert encode(document) == (json.dumps(document, indent=1) + "\n").encode()
