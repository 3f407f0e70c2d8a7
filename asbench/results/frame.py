"""One table of results: a row per run, of which every table, figure and answer is a group-by.

pandas is imported when a table is made: who trains does not wait for it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from asbench.data import published
from asbench.files.documents import record_id
from asbench.parameters import parameters
from asbench.results.joint import by_category
from asbench.results.run import FURTHER, METRICS, Run, Subset, subset_for
from asbench.settings import BEST_ON_TEST, TrainSettings
from synth_store import Mix

if TYPE_CHECKING:
    import pandas as pd

_REDUCED = ("tiny", "partial", "scratch")
"""What a detector's variant is called that is not the network its authors published."""
_GEOMETRY = "256x256 (stretch)"
"""What the paper trains on."""
_DEFAULTS: Mapping[str, Any] = {
    "run": "",
    "dataset": "",
    "category": "",
    "detector": "",
    "mix": "",
    "methods": "",
    "parts": 0,
    "shares": "",
    "joint": "",
    "chosen_on_few_shot": False,
    "ratio": 0.0,
    "kept_out": 0.0,
    "seed": 0,
    "synth_seed": 0,
    "subset": "full",
    **dict.fromkeys((*METRICS, *FURTHER), math.nan),
    "saw_defects": 0,
    "selected_on_test": False,
    "reduced": False,
    "source": "run",
    "settings": "",
    "caveats": (),
}
"""The columns that every table of results has, and what stands there unless a record says else."""
_HOW = [
    one.name
    for one in parameters(TrainSettings)
    if one.decides and (one.study in ("detectors", "protocol") or one.name == "pool")
    if one.name not in ("steps", "select")  # said in other words
]
"""The settings of how a run was trained, beside its place in the grid."""
_COUNTS = ("pool", "select_every")
"""Whole numbers that some runs have not."""
_NESTED = ("parameters", "sets")


def frame(
    runs: Sequence[Run], subset: Subset | None = None, *, together: bool = False
) -> pd.DataFrame:
    """Return one row per run, in the order of the runs; of a joint run one per category.

    subset: the test images that the scores are of, `subset_for(runs)` by default; together: of a
    joint run one row instead, scored on the images of all its categories as one test set. Columns:

    - run: the id; source: `run`, or `paper` and `made-up` in tables of other origin
    - every setting that decides a run, under its name; those of `parameters` and `sets` as
      `parameters.width` and `sets.draem`, missing where a run has none of the name
    - mix: as text, `draem:0.5,fractal:0.5`; methods: its names, `draem + fractal`, empty at
      ratio 0; parts: their number; shares: `0.75 0.25`, empty where equal
    - joint: the categories that the run's one detector learnt together, `a,b,c`; empty where it
      learnt one; chosen_on_few_shot: whether few-shot defects chose the mixture
    - image_auroc, image_ap, pixel_auroc, pixel_ap, pro: float64 in 0..1, NaN where undefined,
      on the test images that `subset` names; so pixel_f1, aupimo and spro, NaN in older runs
    - saw_defects: real defects of the category that training saw; selected_on_test: whether the
      checkpoint was chosen by its test score, an upper bound; reduced: not the network that the
      detector's authors published; steps_mode: as in `Run`
    - settings: what else decides the outcome, in words; caveats: why the row must not stand beside
      a printed number, a tuple of phrases
    - created: UTC; `seconds.train`, `seconds.score`: wall time
    """
    import pandas as pd

    subset = subset or subset_for(runs)
    table = from_records(_record(run, subset) for run in (runs if together else by_category(runs)))
    if len(table):
        table["created"] = pd.to_datetime(table["created"], utc=True, format="ISO8601")
    return table


def from_records(records: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return a table of results, a row per record: column to value, the rest at its default.

    mix: method to weight, from which methods, parts and shares follow.
    """
    import pandas as pd

    rows = [{**_DEFAULTS, **record, **_of_mix(record.get("mix", {}))} for record in records]
    columns = dict.fromkeys(name for row in (_DEFAULTS, *rows) for name in row)
    table = pd.DataFrame({name: [row.get(name) for row in rows] for name in columns})
    kinds: dict[str, Any] = {
        name: object if default == () else type(default) for name, default in _DEFAULTS.items()
    }
    return table.astype(kinds | {name: "Int64" for name in _COUNTS if name in table})


def context(run: Run, *but: str) -> str:
    """Return everything that decides a run but its seed and the settings named, as one string."""
    kept = {k: v for k, v in run.decides.items() if k not in ("seed", *but)}
    return json.dumps(kept, sort_keys=True, default=str)


def means(table: pd.DataFrame, by: Sequence[str], columns: Sequence[str] = METRICS) -> pd.DataFrame:
    """Return the mean of each column by columns or index levels; NaN where one of a group is."""
    groups = table.groupby(list(by), dropna=False)[list(columns)]
    return groups.mean().where(groups.count().eq(groups.size(), axis=0))


def complete(table: pd.DataFrame, by: Sequence[str], needed: pd.Series[int]) -> pd.DataFrame:
    """Return the rows of those groups that have as many categories as `needed`, row by row."""
    return table[table.groupby(list(by), dropna=False)["category"].transform("nunique") == needed]


def across(
    values: pd.Series[float], level: str, weights: Mapping[str, float] | None = None
) -> pd.Series[float]:
    """Return the means over one index level.

    weights: by the level's members, such as equation 1's by data set; None weighs alike. NaN where
    a member lacks that stands elsewhere in `values`: means over different members do not compare.
    """
    import pandas as pd

    wide = values.unstack(level)
    if weights is None:
        return wide.mean(axis=1, skipna=False)
    each = pd.Series(weights, dtype=float)[wide.columns]
    return (wide * each).sum(axis=1, skipna=False) / each.sum()


def at(values: pd.Series[float], level: str, member: str) -> pd.Series[float]:
    """Return the values of one member of an index level, without that level."""
    return values[values.index.isin([member], level=level)].droplevel(level)


def by_label(values: pd.Series[Any]) -> dict[Any, Any]:
    """Return values by their index labels, a tuple for several levels."""
    return {**values.to_dict()}


def _of_mix(mix: Mapping[str, float]) -> dict[str, Any]:
    names, whole = sorted(mix), math.fsum(mix.values())
    shares = [mix[name] / whole for name in names]
    return {
        "mix": str(Mix.of(mix)),
        "methods": " + ".join(names),
        "parts": len(names),
        "shares": " ".join(f"{s:.2g}" for s in shares) if len(set(mix.values())) > 1 else "",
    }


def _record(run: Run, subset: Subset) -> dict[str, Any]:
    d: Mapping[str, Any] = run.decides
    flat = {f"{n}.{k}": v for n in _NESTED for k, v in d[n].items()}
    parts = len(d["mix"]) if run.steps_mode == "per-component" else 1
    protocol = published.training(d["detector"], d["dataset"], d["category"])
    as_published = protocol is not None and d["steps"] == protocol.steps * parts
    reduced = any(word in d["detector"].partition("@")[2] for word in _REDUCED)
    settings = {
        "steps": "published" if as_published else d["steps"] // max(parts, 1),
        "steps mode": run.steps_mode,
        **{name: d[name] for name in _HOW if name in d},
        "geometry": d["geometry"],
        **({"joint": _joint(d)} if "joint" in d else {}),
        **({"excluded": left_out(d)} if "excluded" in d else {}),
        **d["parameters"],
    }
    return {
        "run": run.id,
        **{k: v for k, v in d.items() if k not in (*_NESTED, "excluded")},
        "joint": _joint(d),
        "chosen_on_few_shot": d.get("chosen_on_few_shot", False),
        "steps_mode": run.steps_mode,
        "subset": subset,
        **run.metrics[subset],
        **(run.further.metrics[subset] if run.further else {}),
        "saw_defects": run.saw_defects,
        "selected_on_test": d["select"] == BEST_ON_TEST,
        "reduced": reduced,
        "settings": ", ".join(f"{k} {_told(v)}" for k, v in settings.items()),
        "caveats": _caveats(run, protocol, as_published, reduced),
        "created": run.created,
        **{f"seconds.{k}": v for k, v in run.seconds.items()},
        **flat,
    }


def _joint(decides: Mapping[str, Any]) -> str:
    """Return the categories of a joint run, whether this is all of it or a part; else nothing."""
    joint = decides.get("joint", "")
    return joint if isinstance(joint, str) else ",".join(joint)


def left_out(decides: Mapping[str, Any]) -> dict[str, str]:
    """Return by method how many samples were left out by hand, and a digest of which."""
    excluded: Mapping[str, Sequence[int]] = decides.get("excluded", {})
    return {
        method: f"{len(of)} samples ({record_id({method: list(of)})[:6]})"
        for method, of in excluded.items()
    }


def _caveats(
    run: Run, protocol: published.Training | None, as_published: bool, reduced: bool
) -> tuple[str, ...]:
    d, told = run.decides, []
    if d["geometry"] != _GEOMETRY:
        told.append(f"images of {d['geometry']}")
    if joint := _joint(d):
        told.append(f"one detector for {len(joint.split(','))} categories")
    if d["pool"] is not None:
        told.append(f"a pool of {d['pool']} samples")
    if kept := d.get("kept_out"):
        told.append(f"{100 * kept:g} % of the normals kept out for the threshold")
    if excluded := d.get("excluded"):
        told.append(f"{sum(map(len, excluded.values()))} samples left out by hand")
    if reduced:
        told.append("a reduced network")
    elif "@" in d["detector"]:
        told.append("other parameters")
    if not as_published:
        theirs = "no published steps" if protocol is None else f"published {protocol.steps}"
        told.append(f"{d['steps']} steps, {theirs}")
    if protocol is not None and d["batch"] != protocol.batch:
        told.append(f"batch {d['batch']}, published {protocol.batch}")
    return tuple(told)


def _told(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
