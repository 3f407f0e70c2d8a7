"""A study file: YAML into frozen dataclasses, with everything that is wrong in it at once.

Its parts are grids: data sets x categories x mixes x detectors x ratios x pools x both seeds. What
stands at the top of the file holds for every part that does not say otherwise.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from asbench.quality.record import SAMPLES
from asbench.results import Subset
from asbench.study import schema
from asbench.study.schema import Reading
from synth_store import Geometry, UserError

SHIPPED = Path(__file__).with_name("shipped")
AXES = ("datasets", "detectors", "mixes", "ratios", "pools", "seeds", "synth_seeds", "keep")
"""What a part may say for itself."""


@dataclass(frozen=True)
class Protocol:
    """How runs are trained and chosen; the defaults are the honest ones. Names are `train`'s.

    ratio_mode: `exact`, or `bernoulli` as published; select: `last`, or `best-on-test` as
    published; steps_mode: `same`, or `per-component`, as published, where a mixture of k methods
    trains k times as long by detectors whose budget is in epochs; parity: score as each detector's
    published code does as well.
    """

    ratio_mode: str = "exact"
    select: str = "last"
    steps_mode: str = "same"
    parity: bool = False


@dataclass(frozen=True)
class Budget:
    """A detector and how long it trains; None leaves it to the detector's own protocol."""

    detector: str
    steps: int | None = None
    epochs: int | None = None
    batch: int | None = None
    precision: str = "fp32"
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """One grid of a study.

    datasets: the categories of each, with the number of their training normals where the file
    states it; empty for all. ratios: None is the published one; pools: None reads all samples.
    keep: whether trained weights stay when a run is done.
    """

    name: str
    datasets: Mapping[str, Mapping[str, int | None]]
    detectors: tuple[Budget, ...]
    mixes: tuple[str, ...]
    ratios: tuple[float | None, ...] = (None,)
    pools: tuple[int | None, ...] = (None,)
    seeds: tuple[int, ...] = (0,)
    synth_seeds: tuple[int, ...] = (0,)
    keep: bool = True


@dataclass(frozen=True)
class Measure:
    """What is measured of every set: these metrics of its first samples.

    real: the real defects held against, `held_out` or `full` as the paper. Names are `measure`'s.
    """

    metrics: tuple[str, ...]
    samples: int = SAMPLES
    real: Subset = "held_out"


@dataclass(frozen=True)
class Study:
    """A study file as it was read. `faults` says what is wrong with it; such a part was left out.

    samples: of every set; textures: the bank of methods that need one; variants: parameters of
    methods under names of one's own; folders: where data sets that are folders lie; weights: files
    of pretrained networks by name; quality: None measures none.
    """

    name: str
    about: str
    geometry: Geometry
    samples: int
    textures: str
    protocol: Protocol
    variants: Mapping[str, Mapping[str, Any]]
    folders: Mapping[str, str]
    weights: Mapping[str, str]
    parts: tuple[Part, ...]
    text: str
    faults: tuple[str, ...] = ()
    quality: Measure | None = None


def shipped() -> list[str]:
    """Return the names of the studies that ship with ASBench, sorted."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def read(name_or_path: str | Path) -> Study:
    """Return the study of a file, or of a name among `shipped`.

    Raises UserError for a file that is missing or no YAML; all else that is wrong stands in the
    study's `faults`.
    """
    path = _find(name_or_path)
    text = path.read_text(encoding="utf-8")
    document, faults = _document(path, text, seen=())
    return _study(document, path.stem, text, faults)


def _find(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if path.is_file():
        return path
    plain = str(name_or_path).removesuffix(".yaml")
    if plain in shipped():
        return SHIPPED / f"{plain}.yaml"
    near = difflib.get_close_matches(plain, shipped(), n=2, cutoff=0.5) or shipped()
    raise UserError(
        f"study {str(name_or_path)!r} is neither a file nor one that ships with ASBench: those are "
        f"{', '.join(near)} (`asbench study ls`)."
    )


class _Loader(yaml.SafeLoader):
    """YAML that does not let one key stand twice: the first would be dropped in silence."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1 and key != "<<":
                raise yaml.MarkedYAMLError(None, None, f"{key!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _document(path: Path, text: str, seen: Sequence[Path]) -> tuple[dict[str, Any], list[str]]:
    """Return what a file says, on top of the study that it extends."""
    try:
        document = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise UserError(f"{path} is no YAML that can be read: {error}") from error
    if not isinstance(document, dict):
        raise UserError(f"{path} is no study: it must hold names and values, as in `name: mine`.")
    faults: list[str] = []
    other = document.pop("extends", None)
    if other is None:
        return document, faults
    beside = path.parent / str(other)
    base = beside if beside.is_file() else _find(str(other))
    if base.resolve() in seen:
        raise UserError(f"{path} extends {other}, which extends {path} in turn: drop one of them.")
    under, faults = _document(base, base.read_text(encoding="utf-8"), (*seen, path.resolve()))
    return {key: said for key, said in under.items() if key != "name"} | document, faults


BUDGET = ("steps", "epochs", "batch", "precision", "set")
TOP = (
    *("name", "about", "size", "resize", "samples", "textures", "protocol", "variants"),
    *("folders", "weights", "quality", "parts", *AXES),
)


def _study(document: dict[str, Any], stem: str, text: str, faults: list[str]) -> Study:
    reading = Reading(faults)
    top = reading.known("", document, TOP)
    parts = top.get("parts") or {"all": None}
    if not isinstance(parts, dict):
        faults.append(f"parts: {parts!r} is not of the form `name: what it says for itself`.")
        parts = {}
    return Study(
        name=reading.value("name", schema.category, top.get("name", stem), stem),
        about=reading.value("about", schema.text, top.get("about", ""), ""),
        geometry=reading.value("size", _geometry, top, Geometry()),
        samples=reading.value("samples", schema.count, top.get("samples", 1000), 1000),
        textures=reading.value(
            "textures", schema.text, top.get("textures", "procedural"), "procedural"
        ),
        protocol=_protocol(reading, top.get("protocol")),
        variants=_variants(reading, top.get("variants")),
        folders=_texts(reading, "folders", top.get("folders")),
        weights=_texts(reading, "weights", top.get("weights")),
        quality=_quality(reading, top.get("quality")),
        parts=tuple(_part(reading, str(name), own, top) for name, own in parts.items()),
        text=text,
        # What stands at the top is read for every part.
        faults=tuple(dict.fromkeys(faults)),
    )


def _part(reading: Reading, name: str, own: Any, top: Mapping[str, Any]) -> Part:
    said = reading.known(f"parts.{name}", own, AXES)

    def at(axis: str) -> str:
        return f"parts.{name}.{axis}" if axis in said else axis

    def of(axis: str, otherwise: Any) -> Any:
        return said.get(axis, top.get(axis, otherwise))

    datasets = _datasets(reading, at("datasets"), said.get("datasets"), top.get("datasets"))
    detectors = _budgets(reading, at("detectors"), said.get("detectors"), top.get("detectors"))
    return Part(
        name=name,
        datasets=datasets,
        detectors=detectors,
        mixes=reading.values(at("mixes"), schema.mix, of("mixes", [])) if of("mixes", []) else (),
        ratios=reading.values(at("ratios"), schema.ratio, of("ratios", schema.PUBLISHED)),
        pools=reading.values(at("pools"), schema.pool, of("pools", "all")),
        seeds=reading.values(at("seeds"), schema.seed, of("seeds", 0)),
        synth_seeds=reading.values(at("synth_seeds"), schema.seed, of("synth_seeds", 0)),
        keep=reading.value(at("keep"), schema.truth, of("keep", True), True),
    )


def _protocol(reading: Reading, given: Any) -> Protocol:
    choices = {
        "ratio_mode": ("exact", "bernoulli"),
        "select": ("last", "best-on-test"),
        "steps_mode": ("same", "per-component"),
        "parity": (False, True),
    }
    said = reading.known("protocol", given, choices)

    def chosen(name: str) -> Callable[[Any], Any]:
        def read(value: Any) -> Any:
            if value not in choices[name] or isinstance(value, bool) != (name == "parity"):
                listed = " or ".join(str(choice).lower() for choice in choices[name])
                raise UserError(f"{value!r} is unknown: choose {listed}.")
            return value

        return read

    honest = Protocol()
    return replace(
        honest,
        **{
            name: reading.value(f"protocol.{name}", chosen(name), value, getattr(honest, name))
            for name, value in said.items()
        },
    )


def _quality(reading: Reading, given: Any) -> Measure | None:
    """Read `[ssim, fid]`, or `{metrics: [ssim, fid], samples: 200, real: full}`."""
    if given is None:
        return None
    said = {"metrics": given}
    if isinstance(given, dict):
        said = reading.known("quality", given, ("metrics", "samples", "real"))
    if "metrics" not in said:
        reading.faults.append("quality: no metric is named: add `metrics: [ssim, psnr]`.")
    return Measure(
        reading.values("quality.metrics", schema.text, said.get("metrics", ["ssim"])),
        reading.value("quality.samples", schema.samples, said.get("samples", SAMPLES), SAMPLES),
        reading.value("quality.real", schema.subset, said.get("real", "held_out"), "held_out"),
    )


def _datasets(reading: Reading, where: str, own: Any, top: Any) -> dict[str, dict[str, int | None]]:
    """Return the categories of every data set: a part may name a few of those at the top."""
    whole = _categories(reading, "datasets", top)
    if own is None:
        if not whole:
            reading.faults.append(f"{where}: no data set is named: add `datasets: [demo]`.")
        return whole
    found = _categories(reading, where, own)
    return {
        name: {c: n if n is not None else whole.get(name, {}).get(c) for c, n in some.items()}
        if some
        else whole.get(name, {})
        for name, some in found.items()
    }


def _categories(reading: Reading, where: str, given: Any) -> dict[str, dict[str, int | None]]:
    """Read `[demo]`, `demo: all`, `demo: [weave]` or `demo: {weave: 60}`, which counts normals."""
    if isinstance(given, str | list):
        given = dict.fromkeys(given if isinstance(given, list) else [given], "all")
    if given is not None and not isinstance(given, dict):
        reading.faults.append(f"{where}: {given!r} is not a list of data sets.")
    found: dict[str, dict[str, int | None]] = {}
    for name, some in (given if isinstance(given, dict) else {}).items():
        key = reading.value(where, schema.dataset_name, name, "")
        at = f"{where}.{name}"
        if isinstance(some, dict):
            found[key] = {
                reading.value(at, schema.category, c, "?"): reading.value(
                    f"{at}.{c}", schema.count, n, 1
                )
                for c, n in some.items()
            }
        elif some in (None, "all"):
            found[key] = {}
        else:
            found[key] = dict.fromkeys(reading.values(at, schema.category, some))
    return {key: some for key, some in found.items() if key and "?" not in some}


def _budgets(reading: Reading, where: str, own: Any, top: Any) -> tuple[Budget, ...]:
    """Return the detectors of a part: what it says of one stands over what the top says."""

    def listed(given: Any, at: str) -> dict[str, Any]:
        if isinstance(given, str):
            given = [given]
        if isinstance(given, list):
            given = dict.fromkeys(map(str, given))
        if given is not None and not isinstance(given, dict):
            reading.faults.append(f"{at}: {given!r} is not a list of detectors.")
            return {}
        return {str(name): said for name, said in (given or {}).items()}

    common = listed(top, "detectors")
    chosen = common if own is None else listed(own, where)
    if not chosen:
        reading.faults.append(f"{where}: no detector is named: add `detectors: [unet@tiny]`.")
    found = []
    for name, said in chosen.items():
        at = f"{where}.{name}"
        merged = reading.known(f"detectors.{name}", common.get(name), BUDGET)
        if own is not None:
            merged |= reading.known(at, said, BUDGET)
        if "steps" in merged and "epochs" in merged:
            reading.faults.append(f"{at}: steps and epochs are two budgets: give one.")
        key = reading.value(at, schema.detector_name, name, "")
        if key:
            found.append(_budget(reading, at, key, merged))
    return tuple(found)


def _budget(reading: Reading, at: str, name: str, said: Mapping[str, Any]) -> Budget:
    def optional(key: str) -> int | None:
        return reading.value(f"{at}.{key}", schema.count, said[key], None) if key in said else None

    return Budget(
        detector=name,
        steps=optional("steps"),
        epochs=optional("epochs"),
        batch=optional("batch"),
        precision=reading.value(
            f"{at}.precision", schema.precision, said.get("precision", "fp32"), "fp32"
        ),
        settings=reading.value(f"{at}.set", schema.mapping, said.get("set", {}), {}),
    )


def _variants(reading: Reading, given: Any) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for name, settings in given.items() if isinstance(given, dict) else ():
        if "@" not in str(name) or not isinstance(settings, dict) or not settings:
            reading.faults.append(
                f"variants.{name}: write a method, a name of yours, and what differs, as in "
                "`nsa@three: {patches: 3}`."
            )
        else:
            found[reading.value("variants", schema.method_name, name, "")] = settings
    if given is not None and not isinstance(given, dict):
        reading.faults.append(
            f"variants: {given!r} is not of the form `nsa@three: {{patches: 3}}`."
        )
    return {name: settings for name, settings in found.items() if name}


def _texts(reading: Reading, where: str, given: Any) -> dict[str, str]:
    if given is not None and not isinstance(given, dict):
        reading.faults.append(f"{where}: {given!r} is not of the form `name: path`.")
        return {}
    return {
        str(name): reading.value(f"{where}.{name}", schema.text, value, "")
        for name, value in (given or {}).items()
    }


def _geometry(top: Mapping[str, Any]) -> Geometry:
    size, resize = top.get("size", 256), top.get("resize", "stretch")
    text = f"{size}x{size}" if isinstance(size, int) else size
    return Geometry.parse(f"{text} ({resize})")
