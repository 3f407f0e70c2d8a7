"""What the type of a record says, read without pydantic, and records of the first versions."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import strategies as st

from asbench import results
from asbench.files.documents import Keyed, Number

pytestmark = pytest.mark.slow


def bare(hint: Any) -> tuple[Any, Keyed | None]:
    """Return a type without what it is annotated with, and the keys that it is to have."""
    if get_origin(hint) is Annotated:
        keyed = [mark for mark in hint.__metadata__ if isinstance(mark, Keyed)]
        return hint.__origin__, keyed[0] if keyed else None
    return hint, None


def named(hint: Any) -> dict[str, tuple[Any, bool]]:
    """Return the keys that a type names: to the type of each, and whether it must be there."""
    plain, keyed = bare(hint)
    if keyed is not None:
        inner = get_args(plain)[1]
        kinds = keyed.keys if isinstance(keyed.keys, Mapping) else dict.fromkeys(keyed.keys, inner)
        free = (*keyed.absent, *keyed.optional)
        return {key: (kind, key not in free) for key, kind in kinds.items()}
    if is_dataclass(plain):
        hints = get_type_hints(plain, include_extras=True)
        return {f.name: (hints[f.name], f.default is MISSING) for f in fields(plain)}
    if hasattr(plain, "__required_keys__"):
        hints = get_type_hints(plain, include_extras=True)
        return {key: (kind, key in plain.__required_keys__) for key, kind in hints.items()}
    return {}


def drawn(hint: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for values of a type."""
    plain, keyed = bare(hint)
    origin, args = get_origin(plain), get_args(plain)
    if keys := named(hint):
        absent = keyed.absent if keyed else {}
        needed = {k: drawn(kind) for k, (kind, must) in keys.items() if must or k in absent}
        others = {k: drawn(kind) for k, (kind, _) in keys.items() if k not in needed}
        made = st.fixed_dictionaries(needed, optional=others)
        return made.map(lambda held: plain(**held)) if is_dataclass(plain) else made
    if hint == Number:
        return st.floats()
    if origin in (Union, types.UnionType):
        return st.one_of(*map(drawn, args))
    if origin is Literal:
        return st.sampled_from(args)
    if origin is Mapping:
        return st.dictionaries(drawn(args[0]), drawn(args[1]), max_size=2)
    if origin is Sequence:
        return st.lists(drawn(args[0]), max_size=2)
    if origin is tuple:
        if args[-1] is Ellipsis:
            return st.lists(drawn(args[0]), max_size=2).map(tuple)
        return st.tuples(*map(drawn, args))
    simple: dict[Any, st.SearchStrategy[Any]] = {
        str: st.text(max_size=4),
        int: st.integers(),
        bool: st.booleans(),
        float: st.floats(allow_nan=False, allow_infinity=False),
        type(None): st.none(),
        Any: st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    }
    return simple[plain]


def fits(hint: Any, value: Any) -> bool:
    """Say whether a JSON value is of a type, at least on its surface."""
    plain, _ = bare(hint)
    origin, args = get_origin(plain), get_args(plain)
    if origin in (Union, types.UnionType):
        return any(fits(arg, value) for arg in args)
    if named(hint) or origin is Mapping:
        return isinstance(value, dict)
    if origin in (Sequence, tuple):
        return isinstance(value, list)
    if origin is Literal:
        return value in args
    if plain is float:
        return type(value) in (int, float) or (value is None and hint == Number)
    return plain is Any or type(value) is plain


def places(hint: Any, value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield (place, type, must be there) of every key in a document that its type names."""
    plain, _ = bare(hint)
    origin, args = get_origin(plain), get_args(plain)
    if origin in (Union, types.UnionType):
        (plain,) = (arg for arg in args if arg is not type(None))
        if value is not None:
            yield from places(plain, value, at)
    elif keys := named(hint):
        for key, (kind, must) in keys.items():
            if key in value:
                yield (*at, key), kind, must
                yield from places(kind, value[key], (*at, key))
    elif origin in (Sequence, tuple):
        for i, inner in enumerate(value):
            kind = args[0] if origin is Sequence or args[-1] is Ellipsis else args[i]
            yield from places(kind, inner, (*at, i))
    elif origin is Mapping:
        for key, inner in value.items():
            yield from places(args[1], inner, (*at, key))


# --- One example of each ---

DECIDES = {
    **{"dataset": "demo", "category": "weave", "geometry": "256x256 (stretch)", "normals": "aa"},
    **{"test": "7e57" * 16, "mix": {"draem": 0.5, "fractal": 0.5}},
    **{"sets": {"draem": "bb", "fractal": "cc"}, "ratio": 0.5, "ratio_mode": "exact", "pool": None},
    **{"detector": "draem@tiny", "parameters": {"width": 16}, "steps": 300, "batch": 8},
    **{"precision": "fp32", "weights": None, "seed": 0, "synth_seed": 0, "select": "last"},
}
SCORES = {s: dict.fromkeys(results.METRICS, 0.5) | {"pro": None} for s in results.SUBSETS}
FIRST_RUN: dict[str, Any] = {
    **{"schema": 1, "id": "dd1a32f954c0", "decides": DECIDES, "metrics": SCORES},
    "counts": {s: {"normal": 3, "anomalous": 2} for s in results.SUBSETS},
    "reasons": {"full": {"pro": "no regions"}},
    **{"untrained": None, "saw_defects": 0, "realised": {"normal": 1200}, "losses": [[0, 1.5]]},
    **{"threshold": {"value": 0.41, "rule": "≥ all"}, "environment": {"threads": 1}},
    **{"seconds": {"train": 1.5}, "created": "2026-01-02T03:04:05Z"},
}
"""A run as ASBench's first version wrote it."""
CELL = {
    **{"dataset": "demo", "category": "weave", "geometry": "256x256 (stretch)", "mix": "draem:1"},
    **{"ratio": 0.5, "pool": None, "detector": "draem", "parameters": {"width": 16, "at": [1, 2]}},
    **{"settings": {}, "steps": 300, "batch": 8, "precision": "fp32", "seed": 0, "synth_seed": 0},
    **{"ratio_mode": "exact", "select": "last", "kept_out": 0.1},
    **{"steps_mode": "same", "chosen_on_few_shot": False, "parity": False},
    **{"part": "base", "keep": False, "run": None, "failed": None, "left_out": ["no data"]},
}
STUDY: dict[str, Any] = {"schema": 1, "name": "mine", "study": "the file", "cells": [CELL]}
LATER = ("kept_out", "chosen_on_few_shot")
FIRST_STUDY = STUDY | {"cells": [{key: CELL[key] for key in CELL if key not in LATER}]}
"""As a version wrote it that trained on all normals and had no word for it."""
MEASURED = {
    **{"samples": 500, "real": "full", "metrics": ["kid"], "left_out": {"fid": "no weights"}},
    "sets": [
        {"dataset": "demo", "category": "weave", "method": "draem", "seed": 0}
        | {"id": "0123456789ab", "failed": None}
    ],
}
SCORE = {
    **{"metric": "kid", "pairing": "real", "region": "inside", "value": 0.25, "n": 20},
    **{"against": 5, "spread": None, "note": "", "reason": "", "weights": "ab"},
}
EXAMPLES: dict[str, dict[str, Any]] = {
    "run": FIRST_RUN
    | {"untrained": SCORES, "selected": {"step": 3, "metrics": ["pro"], "value": 0.5}}
    | {"steps_mode": "per-component"}
    | {"parity": {"flavour": "draem", "metrics": SCORES, "reasons": {"full": {}, "held_out": {}}}},
    "quality": {
        **{"schema": 1, "id": "69c170838e8d"},
        "decides": {
            **{"version": 1, "dataset": "demo", "category": "weave", "method": "draem", "seed": 0},
            **{"geometry": "32x32 (stretch)", "set": "aa", "normals": "bb", "test": "cc", "n": 20},
            **{"real": "held_out", "metrics": ["kid"], "weights": {"inception": "dd"}},
        },
        **{"scores": [SCORE], "saw_defects": 0, "environment": {"torch": "2"}, "seconds": 1.5},
        "created": "2026-01-02T03:04:05Z",
    },
    "cross": {
        **{"schema": 1, "id": "21efd92495dd"},
        "decides": {
            "version": 1,
            "run": "ab",
            "sets": {"nsa": "c"},
            "normals": "d",
            "negatives": 5,
        },
        **{"method": "draem", "values": {"nsa": {"image_auroc": 0.5, "pixel_ap": None}}},
        **{"counts": {"nsa": 20}, "created": "2026-01-02T03:04:05Z"},
    },
    "study": STUDY | {"quality": MEASURED},
    "fit": {
        "schema": 1,
        "identity": {
            **{"dataset": "toys", "method": "realnet", "seed": 0, "geometry": "32x32 (stretch)"},
            **{"parameters": {"lr": 0.1}, "pixel_version": 1, "normals": {"a": "aa"}},
            **{"kinds": {"a": ["cut"]}, "defects": {"a": ["cut/ü.png"]}, "defects_digest": "bb"},
            "weights": {"adm256": "cc"},
        },
        **{"digest": "dd", "losses": {"diffusion/loss": [[0, 1.5], [9, 0.5]]}, "seconds": 1.5},
        **{"device": "cpu", "threads": 1, "versions": {"torch": "2"}, "created": "2026-01-02"},
    },
    "set": {
        "record": {
            **{"cpu": "x86", "asbench": "0.1.0", "origin": ["--dataset", "demo"], "options": []},
            "where": "object",
            **{"saw_defects": ["cut/0.png"], "types": ["cut"], "without_mask": []},
        }
    },
}
