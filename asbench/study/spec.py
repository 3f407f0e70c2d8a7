"""A study file: YAML into frozen dataclasses, with everything that is wrong in it at once.

Its parts are grids: data sets x categories x mixes x detectors x ratios x pools x both seeds. What
stands at the top of the file holds for every part that does not say otherwise.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asbench.data.geometry import settled
from asbench.data.tiling import check_share
from asbench.parameters import Parameter, parameters
from asbench.settings import (
    TEXTURES,
    VISIBLE,
    WHERE,
    MeasureSettings,
    Settings,
    TrainSettings,
    Where,
)
from asbench.study import schema
from asbench.study.schema import Reading
from asbench.study.yaml_text import parse, read_text
from synth_store import Geometry, UserError

SHIPPED = Path(__file__).with_name("shipped")


@dataclass(frozen=True)
class Budget:
    """A detector and how long it trains.

    training: what the file says of its trainings, by the names of `TrainSettings`; what it does not
    say is left to the detector's own protocol. epochs: in place of steps.
    """

    detector: str
    epochs: int | None = None
    training: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """One grid of a study.

    datasets: the categories of each, with the number of their training normals where the file
    states it; empty for all. axes: by the names of `TrainSettings`, all values of each that is
    walked; no mix is a study of normals alone. keep: whether trained weights stay when a run is
    done.
    """

    name: str
    datasets: Mapping[str, Mapping[str, int | None]]
    detectors: tuple[Budget, ...]
    axes: Mapping[str, tuple[Any, ...]]
    keep: bool = True


@dataclass(frozen=True)
class Study:
    """A study file as it was read. `faults` says what is wrong with it; such a part was left out.

    samples: of every set; textures: the bank of methods that need one; visible, where: what a
    sample must show and where, as for `generate`; protocol: what holds for
    every training, by the names of `TrainSettings`, whose own defaults are the honest ones;
    variants: parameters of methods under names of one's own; folders: where data sets that are
    folders lie; objects: by data set, the rule of where its objects are; weights: files of
    pretrained networks by name; empty_tiles: of tiles, the share kept of those without the object;
    quality: what is measured of every set, by the
    names of `MeasureSettings`; None measures none.
    """

    name: str
    about: str
    geometry: Geometry
    samples: int
    textures: str
    visible: float
    where: Where
    protocol: Mapping[str, Any]
    variants: Mapping[str, Mapping[str, Any]]
    folders: Mapping[str, str]
    objects: Mapping[str, str]
    weights: Mapping[str, str]
    parts: tuple[Part, ...]
    text: str
    faults: tuple[str, ...] = ()
    quality: Mapping[str, Any] | None = None
    empty_tiles: float | None = None


def shipped() -> list[str]:
    """Return the names of the studies that ship with ASBench, sorted."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def read(name_or_path: str | Path) -> Study:
    """Return the study of a file, or of a name among `shipped`.

    Raises UserError for a file that is missing or no YAML; all else that is wrong stands in the
    study's `faults`.
    """
    path = _find(name_or_path)
    text = read_text(path)
    document, faults = _document(path, text, seen=())
    return _study(document, path.stem, text, faults)


def _find(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if _is_file(path):
        return path
    plain = str(name_or_path).removesuffix(".yaml")
    if plain in shipped():
        return SHIPPED / f"{plain}.yaml"
    near = difflib.get_close_matches(plain, shipped(), n=2, cutoff=0.5) or shipped()
    raise UserError(
        f"study {schema.said(str(name_or_path))} is neither a file nor one that ships with "
        f"ASBench: those are {', '.join(near)} (`asbench study ls`)."
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that no file can have
        return False


def _document(path: Path, text: str, seen: Sequence[Path]) -> tuple[dict[str, Any], list[str]]:
    """Return what a file says, on top of the study that it extends."""
    document = parse(text, path)
    faults: list[str] = []
    other = document.pop("extends", None)
    if other is None:
        return document, faults
    beside = path.parent / str(other)
    base = beside if _is_file(beside) else _find(str(other))
    if base.resolve() in seen:
        raise UserError(f"{path} extends {other}, which extends {path} in turn: drop one of them.")
    under, faults = _document(base, read_text(base), (*seen, path.resolve()))
    return {key: said for key, said in under.items() if key != "name"} | document, faults


AXES = (
    *("datasets", "detectors"),
    *(one.key for one in parameters(TrainSettings) if one.study == "axis"),
    "keep",
)
"""What a part may say for itself."""
TOP = (
    *("name", "about", "size", "resize", "scale", "overlap", "empty_tiles"),
    *("samples", "textures", "visible", "where", "protocol", "variants"),
    *("folders", "objects", "weights", "quality", "parts", *AXES),
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
        textures=reading.value("textures", schema.text, top.get("textures", TEXTURES), TEXTURES),
        visible=reading.value("visible", schema.times, top.get("visible", VISIBLE), VISIBLE),
        where=reading.value("where", schema.where, top.get("where", WHERE), WHERE),
        protocol=_protocol(reading, top.get("protocol")),
        variants=_variants(reading, top.get("variants")),
        folders=_texts(reading, "folders", top.get("folders")),
        objects=_texts(reading, "objects", top.get("objects")),
        weights=_texts(reading, "weights", top.get("weights")),
        quality=_quality(reading, top.get("quality")),
        empty_tiles=reading.value("empty_tiles", _empty, top, None),
        parts=tuple(_part(reading, str(name), own, top) for name, own in parts.items()),
        text=text,
        # What stands at the top is read for every part.
        faults=tuple(dict.fromkeys(faults)),
    )


def _part(reading: Reading, name: str, own: Any, top: Mapping[str, Any]) -> Part:
    said = reading.known(f"parts.{name}", own, AXES)

    def at(axis: str) -> str:
        return f"parts.{name}.{axis}" if axis in said else axis

    def of(axis: str, otherwise: Any = None) -> Any:
        return said.get(axis, top.get(axis, otherwise))

    datasets = _datasets(reading, at("datasets"), said.get("datasets"), top.get("datasets"))
    detectors = _budgets(reading, at("detectors"), said.get("detectors"), top.get("detectors"))
    walked = {}
    for axis in _settings(TrainSettings, "axis"):
        given = of(axis.key)
        there = given is not None and given != []
        values = reading.values(at(axis.key), schema.reader(axis), given) if there else ()
        walked[axis.name] = values or (axis.default,)
    return Part(
        name=name,
        datasets=datasets,
        detectors=detectors,
        axes=walked,
        keep=reading.value(at("keep"), schema.truth, of("keep", True), True),
    )


def _settings(cls: type[Settings], where: str) -> list[Parameter]:
    """Return the settings that a study file says at one place."""
    return [one for one in parameters(cls) if one.study == where]


def _read(
    reading: Reading, where: str, settings: Iterable[Parameter], said: Mapping[str, Any]
) -> dict[str, Any]:
    """Return, by the settings' own names, the values that a mapping of the file gives them."""
    return {
        one.name: reading.value(f"{where}.{one.key}", schema.reader(one), said[one.key], None)
        for one in settings
        if one.key in said
    }


def _protocol(reading: Reading, given: Any) -> dict[str, Any]:
    settings = _settings(TrainSettings, "protocol")
    said = reading.known("protocol", given, [one.key for one in settings])
    return _read(reading, "protocol", settings, said)


def _quality(reading: Reading, given: Any) -> dict[str, Any] | None:
    """Read `[ssim, fid]`, or `{metrics: [ssim, fid], samples: 200, real: full}`."""
    if given is None:
        return None
    settings = _settings(MeasureSettings, "quality")
    said = {"metrics": given}
    if isinstance(given, dict):
        said = reading.known("quality", given, [one.key for one in settings])
    if "metrics" not in said:
        reading.faults.append("quality: no metric is named: add `metrics: [ssim, psnr]`.")
    metrics = reading.values("quality.metrics", schema.text, said.pop("metrics", ["ssim"]))
    start = {one.name: one.default for one in settings}
    return start | _read(reading, "quality", settings, said) | {"metrics": metrics}


def _datasets(reading: Reading, where: str, own: Any, top: Any) -> dict[str, dict[str, int | None]]:
    """Return the categories of every data set: a part may name a few of those at the top."""
    whole = _categories(reading, "datasets", top)
    if own is None:
        if not whole:
            reading.faults.append(f"{where}: no data set is named: add `datasets: [demo]`.")
        return whole
    chosen = _categories(reading, where, own)
    return {
        name: {c: n if n is not None else whole.get(name, {}).get(c) for c, n in some.items()}
        if some
        else whole.get(name, {})
        for name, some in chosen.items()
    }


def _categories(reading: Reading, where: str, given: Any) -> dict[str, dict[str, int | None]]:
    """Read `[demo]`, `demo: all`, `demo: [weave]` or `demo: {weave: 60}`, which counts normals."""
    if isinstance(given, str | list):
        listed = given if isinstance(given, list) else [given]
        reading.faults += [
            f"{where}: {one!r} is no name of a data set." for one in listed if not _is_name(one)
        ]
        given = dict.fromkeys(filter(_is_name, listed), "all")
    if given is not None and not isinstance(given, dict):
        reading.faults.append(f"{where}: {given!r} is not a list of data sets.")
    categories: dict[str, dict[str, int | None]] = {}
    for name, some in (given if isinstance(given, dict) else {}).items():
        key = reading.value(where, schema.dataset_name, name, "")
        at = f"{where}.{name}"
        if isinstance(some, dict):
            categories[key] = {
                reading.value(at, schema.category, c, "?"): reading.value(
                    f"{at}.{c}", schema.count, n, 1
                )
                for c, n in some.items()
            }
        elif some in (None, "all"):
            categories[key] = {}
        else:
            categories[key] = dict.fromkeys(reading.values(at, schema.category, some))
    return {key: some for key, some in categories.items() if key and "?" not in some}


def _is_name(value: Any) -> bool:
    return isinstance(value, str)


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

    settings = _settings(TrainSettings, "detectors")
    keys = ["epochs", *(one.key for one in settings)]
    common = listed(top, "detectors")
    chosen = common if own is None else listed(own, where)
    if not chosen:
        reading.faults.append(f"{where}: no detector is named: add `detectors: [unet@tiny]`.")
    budgets = []
    for name, said in chosen.items():
        at = f"{where}.{name}"
        merged = reading.known(f"detectors.{name}", common.get(name), keys)
        if own is not None:
            merged |= reading.known(at, said, keys)
        if "steps" in merged and "epochs" in merged:
            reading.faults.append(f"{at}: steps and epochs are two budgets: give one.")
        key = reading.value(at, schema.detector_name, name, "")
        if key:
            epochs = merged.get("epochs")
            if epochs is not None:
                epochs = reading.value(f"{at}.epochs", schema.count, epochs, None)
            budgets.append(Budget(key, epochs, _read(reading, at, settings, merged)))
    return tuple(budgets)


def _variants(reading: Reading, given: Any) -> dict[str, Mapping[str, Any]]:
    variants: dict[str, Mapping[str, Any]] = {}
    for name, settings in given.items() if isinstance(given, dict) else ():
        if "@" not in str(name) or not isinstance(settings, dict) or not settings:
            reading.faults.append(
                f"variants.{name}: write a method, a name of yours, and what differs, as in "
                "`nsa@three: {patches: 3}`."
            )
        else:
            variants[reading.value("variants", schema.method_name, name, "")] = settings
    if given is not None and not isinstance(given, dict):
        reading.faults.append(
            f"variants: {given!r} is not of the form `nsa@three: {{patches: 3}}`."
        )
    return {name: settings for name, settings in variants.items() if name}


def _texts(reading: Reading, where: str, given: Any) -> dict[str, str]:
    if given is not None and not isinstance(given, dict):
        reading.faults.append(f"{where}: {given!r} is not of the form `name: path`.")
        return {}
    return {
        str(name): reading.value(f"{where}.{name}", schema.text, value, "")
        for name, value in (given or {}).items()
    }


def _geometry(top: Mapping[str, Any]) -> Geometry:
    size, resize = top.get("size"), top.get("resize", "stretch")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int | str)):
        raise UserError(f"{size!r} is no size: write 256, or WIDTHxHEIGHT as in 512x384.")
    scale, overlap = (top.get(key) for key in ("scale", "overlap"))
    if not isinstance(scale, float | int | None) or not isinstance(overlap, int | None):
        raise UserError(f"scale {scale!r} and overlap {overlap!r} must be numbers.")
    return settled(Geometry(), size, resize, scale, overlap)


def _empty(top: Mapping[str, Any]) -> float | None:
    empty = top.get("empty_tiles")
    if not isinstance(empty, float | int | None) or isinstance(empty, bool):
        raise UserError(f"{empty!r} is not a share: write a number from 0 to 1.")
    if empty is not None:
        check_share(empty, _geometry(top))
    return empty
