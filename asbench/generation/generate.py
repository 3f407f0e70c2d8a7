"""The generation stage: normals in, synthetic sets in the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from asbench.data import tiling
from asbench.data.geometry import geometry_of
from asbench.data.ingest import ensure_normals, finding_of
from asbench.data.objects import Finding, refuse_doubtful
from asbench.datasets import open_dataset, open_textures
from asbench.generation.fitted import Fitted, Loading, find_fit, loading_of
from asbench.generation.plan import SetPlan, allowing, plan_set
from asbench.generation.real import FewShot, ensure_real, few_shot, refuse_parameters
from asbench.generation.render import (
    goes_by_object,
    material,
    overlap_of,
    render_job,
    render_samples,
    renderer_of,
    stays_grey,
)
from asbench.grid import engines, processes
from asbench.imaging.noise import noise_of
from asbench.imaging.visibility import check_times, visibility
from asbench.parameters import takes
from asbench.progress import Progress, quiet
from asbench.settings import FITS, TEXTURES, VISIBLE, WHERE, GenerateSettings, MethodSettings, Where
from asbench.synthesizers import own_name, resolve
from asbench.types import REAL, Dataset, LearnedSynthesizer, Synthesizer
from synth_store import Geometry, Sample, StoredSet, StoreKey, SynthStore, UserError


@takes(GenerateSettings)
def generate(asked: GenerateSettings) -> list[StoredSet]:
    """Render synthetic anomalies into a store; what is there already is not rendered again.

    Returns the finished sets, method by method and category by category. Raises UserError for what
    the caller can mend; what was stored until then stays, and the same call continues.
    """
    return [one.stored for one in render_sets(asked)]


class RenderedSet(NamedTuple):
    """A finished set: how many of its samples stood before, and how many are new."""

    stored: StoredSet
    before: int
    new: int


def render_sets(asked: GenerateSettings) -> list[RenderedSet]:
    """Do what `generate` does, and say of each set how much of it was rendered."""
    workers, progress = asked.workers, asked.progress
    if isinstance(workers, int):
        engines.check(workers)
    allowed = _allowed(asked)
    on: engines.Engine | int | None
    with engines.ahead(render_job, _awaited(allowed), workers) as on:
        opened, order, plans, real = _prepared(allowed)
        if isinstance(workers, engines.Engine) and isinstance(opened.root, Path):
            workers.check_sees(opened.root.absolute())
        jobs = [job for p in plans.values() for job in p.jobs]
        if workers is None and any(job.loading and job.loading.device != "cpu" for job in jobs):
            workers = on = 1
        _render(list(plans.values()), on, progress)
    threads = _threads(workers)
    finished = {
        (m, c): RenderedSet(
            opened.finish(p.key, c, p.count, threads=threads), p.count - p.left, p.left
        )
        for (m, c), p in plans.items()
    }
    return [real[c] if m == REAL else finished[m, c] for m, c in order]


def _threads(workers: int | engines.Engine | None) -> int:
    """Return on how many threads this process reads and writes beside so many workers."""
    return min(workers, processes.cores()) if isinstance(workers, int) else processes.cores()


class _Allowed(NamedTuple):
    """What was asked for, with nothing to be said against it, and the store for it.

    methods: by their own names; the mappings are by method and category, `defects` by category.
    """

    asked: GenerateSettings
    data: Dataset
    categories: list[str]
    methods: list[str]
    synthesizers: Mapping[tuple[str, str], Synthesizer]
    defects: Mapping[str, FewShot]
    fits: Mapping[tuple[str, str], Fitted]
    loadings: Mapping[tuple[str, str], Loading]
    store: SynthStore


def _allowed(asked: GenerateSettings) -> _Allowed:
    """Refuse what can be refused before anything is written. Raises what `generate` does."""
    if asked.n < 1:
        raise UserError(f"{asked.n} samples are none: give 1 or more with --n.")
    data = open_dataset(asked.dataset, name=asked.name)
    categories = chosen(data.categories(), asked.category, data.name)
    check_times(asked.visible)
    methods = [asked.method] if isinstance(asked.method, str) else list(asked.method)
    methods = [own_name(m, asked.variant) for m in methods]
    refuse_parameters(methods, bool(asked.settings))
    synthesizers = {
        (m, c): resolve(m, dataset=data.name, category=c, settings=asked.settings)
        for m in methods
        for c in categories
        if m != REAL
    }
    seeing = {c for (_, c), s in synthesizers.items() if s.from_defects}
    defects = {c: few_shot(data, c) for c in categories if REAL in methods or c in seeing}
    fits = {
        (m, c): find_fit(asked.fits, data.name, m, c, asked.fit_seed, s, name=str(asked.dataset))
        for (m, c), s in synthesizers.items()
        if isinstance(s, LearnedSynthesizer)
    }
    loadings = {
        at: loading_of(synthesizers[at], fitted, asked.weights, asked.device)
        for at, fitted in fits.items()
    }
    store = SynthStore.create(asked.store, geometry(asked))
    return _Allowed(asked, data, categories, methods, synthesizers, defects, fits, loadings, store)


def _awaited(allowed: _Allowed) -> int:
    """Return how many jobs are sure to be left: all of those whose normals are yet to be stored.

    None where networks take another device, which one process then may have to itself.
    """
    if any(loading.device != "cpu" for loading in allowed.loadings.values()):
        return 0
    stored = {c for c in allowed.categories if allowed.store.has_normals(allowed.data.name, c)}
    new = (s for (_, c), s in allowed.synthesizers.items() if c not in stored)
    return sum(-(-allowed.asked.n // s.shard) for s in new)


class Prepared(NamedTuple):
    """A store in which all stands that comes before rendering.

    order: the methods and categories asked for; plans: of each of them, but for real defects, what
    is left to render; real: the stored few-shot defects by category, where they were asked for or
    are needed.
    """

    store: SynthStore
    order: tuple[tuple[str, str], ...]
    plans: Mapping[tuple[str, str], SetPlan]
    real: Mapping[str, RenderedSet]


def prepare(asked: GenerateSettings) -> Prepared:
    """Do all of `generate` that comes before rendering: normals and metadata stand in the store.

    When all of a set's jobs are done, the store's `finish` closes it. Raises what `generate` does.
    """
    return _prepared(_allowed(asked))


def _prepared(allowed: _Allowed) -> Prepared:
    asked, data, categories, methods, synthesizers, defects, fits, loadings, opened = allowed
    keys = {m: StoreKey(data.name, m, asked.seed) for m in methods}
    found = _found(opened, data, categories, synthesizers, asked.object)
    rules, threads = {}, _threads(asked.workers)
    for c in categories:
        normals = ensure_normals(
            opened,
            data,
            c,
            asked.progress,
            asked.object,
            asked.empty_tiles,
            finding=found[c],
            threads=threads,
        )
        drawn_on = tiling.sources(normals)
        rules[c] = visibility(asked.visible, normals, data.name, c, among=drawn_on)
    bank = None
    if any("textures" in s.needs for s in synthesizers.values()):
        bank = ensure_bank(opened, asked.textures, asked.progress, threads)
    origin = ["--dataset", str(asked.dataset)]
    origin += ["--name", asked.name] if asked.name is not None else []
    again = asked.replace and REAL in methods
    real = {
        c: _real(opened, few, origin=origin, replace=again, progress=asked.progress)
        for c, few in defects.items()
    }
    options = _options(asked.settings, asked.textures)
    record = {"origin": origin, "options": options, "where": asked.where}
    plans = {
        (m, c): plan_set(
            opened,
            keys[m],
            c,
            s,
            asked.n,
            textures=bank,
            fitted=fits.get((m, c)),
            loading=loadings.get((m, c)),
            visibility=rules[c],
            where=asked.where,
            record=record,
            replace=asked.replace,
        )
        for (m, c), s in synthesizers.items()
    }
    order = tuple((m, c) for m in methods for c in categories)
    return Prepared(opened, order, plans, real)


def _found(
    store: SynthStore,
    data: Dataset,
    categories: Sequence[str],
    synthesizers: Mapping[tuple[str, str], Synthesizer],
    asked: str | None,
) -> dict[str, Finding | None]:
    """Return by which rule the objects are found that are not stored yet, category by category.

    Raises UserError where a method goes by objects that are missing: for all categories before the
    normals of any are written.
    """
    found: dict[str, Finding | None] = {}
    for c in categories:
        bound = [m for (m, of), s in synthesizers.items() if of == c and goes_by_object(s)]
        found[c] = finding = finding_of(store, data, c, asked)
        record: Mapping[str, Any] = {}
        if finding is not None:
            record = finding.attributes()
        elif store.has_normals(data.name, c):
            record = store.normals(data.name, c).attributes["foreground"]
        refuse_doubtful(f"{data.name}/{c}", record, bound)
        if finding is not None and len(categories) > 1:
            finding.forget()
    return found


def _real(store: SynthStore, defects: FewShot, *, replace: bool, **options: Any) -> RenderedSet:
    """Return the stored real defects of a category, written unless they stand."""
    key, category = StoreKey(defects.data.name, REAL, 0), defects.category
    stands = store.has(key, category) and not replace
    before = store.count(key, category) if stands else 0
    stored = ensure_real(store, defects, replace=replace, **options)
    return RenderedSet(stored, before, len(stored) - before)


def _render(
    plans: Sequence[SetPlan], workers: int | engines.Engine | None, progress: Progress
) -> None:
    """Run all jobs of all sets as one list, reporting each set's samples as they are stored."""
    done = {p: p.count - p.left for p in plans}
    plan_of = {(job.key, job.category): p for p in plans for job in p.jobs}
    for p in plans:
        progress(f"{p.key}/{p.category}", done[p], p.count)
    for job, rendered in engines.run(render_job, [job for p in plans for job in p.jobs], workers):
        p = plan_of[job.key, job.category]
        done[p] += rendered.samples
        progress(f"{p.key}/{p.category}", done[p], p.count)


def _options(settings: Mapping[str, Any] | None, textures: str) -> list[str]:
    """Return the options of the command line that, beside the key, made a set what it is."""
    words = [f"--set={name}={value}" for name, value in (settings or {}).items()]
    return words + (["--textures", textures] if textures != TEXTURES else [])


def ensure_bank(store: SynthStore, textures: str, progress: Progress, threads: int = 1) -> str:
    """Return `dataset/category` of a texture bank, writing it to the store if it is not there."""
    bank = open_textures(textures)
    if len(bank.categories()) != 1:
        raise UserError(
            f"textures {textures!r} has the categories {', '.join(bank.categories())}: name the "
            "folder of one of them."
        )
    (category,) = bank.categories()
    rule = None if store.has_normals(bank.name, category) else "whole"
    ensure_normals(store, bank, category, progress, rule, whole=True, threads=threads)
    return f"{bank.name}/{category}"


def geometry(asked: MethodSettings) -> Geometry | None:
    """Return the geometry that settings ask for, or None where they ask for none."""
    return geometry_of(asked.store, asked.size, asked.resize, asked.scale, asked.overlap)


def chosen(
    categories: Sequence[str], wanted: str | Sequence[str] | None, dataset: str
) -> list[str]:
    """Return the wanted categories, all of them for None; raises UserError for an unknown one."""
    if wanted is None:
        return list(categories)
    chosen = [wanted] if isinstance(wanted, str) else list(wanted)
    for category in chosen:
        if category not in categories:
            raise UserError(
                f"category {category!r} is not in {dataset}: choose from {', '.join(categories)}."
            )
    return chosen


class Drawn(NamedTuple):
    """Samples of a set with their cleans.

    stored: whether they came from the store; noise: that of the category's normals, in grey levels.
    """

    samples: list[Sample]
    stored: bool
    noise: float


def samples_of(
    store: Path | str,
    data: Dataset,
    method: str,
    category: str,
    indices: range,
    *,
    seed: int = 0,
    textures: str = TEXTURES,
    settings: Mapping[str, Any] | None = None,
    visible: float = VISIBLE,
    where: Where = WHERE,
    same_normals: bool = False,
    fits: Path | str = FITS,
    weights: Mapping[str, Path] | None = None,
) -> Drawn:
    """Return samples of a set with their cleans, from the store where it holds them.

    What is not stored is rendered from the same addresses and kept nowhere; normals and masks of
    real defects that a store lacks are added to it. Where there is no store, none is made. Of
    `real` there may be fewer samples than asked for. `settings` are parameters of the method's own,
    under the variant's name that `method` ends with, and then nothing comes from the store;
    `visible` and `where` as for `generate`. `same_normals` renders sample i on normal i instead, so
    that methods can be seen side by side: not what a store would hold. Raises UserError for an
    unknown method or category.
    """
    key = StoreKey(data.name, method, seed)
    chosen(data.categories(), category, data.name)
    refuse_parameters([method], bool(settings))
    check_times(visible)
    there = SynthStore.stands_at(store)
    if there and not same_normals and not settings:
        opened = SynthStore.open(store)
        if opened.has(key, category) and opened.count(key, category) >= indices.stop:
            stored = opened.read(key, category)
            drawn_on = tiling.sources(stored.normals)
            loud = noise_of(stored.normals, data.name, category, among=drawn_on)
            return Drawn([stored[i] for i in indices], True, loud)
    synthesizer, loading = None, None
    if method != REAL:
        synthesizer = resolve(method, dataset=data.name, category=category, settings=settings)
    if isinstance(synthesizer, LearnedSynthesizer):
        fitted = find_fit(fits, data.name, method, category, 0, synthesizer)
        loading = loading_of(synthesizer, fitted, weights, None)
    with TemporaryDirectory() as nowhere, processes.one_thread():
        opened = SynthStore.open(store) if there else SynthStore.create(nowhere)
        normals = ensure_normals(opened, data, category)
        drawn_on = tiling.sources(normals)
        loud = noise_of(normals, data.name, category, among=drawn_on)
        if synthesizer is None:
            real = islice(few_shot(data, category).samples(normals), indices.stop)
            return Drawn(list(real), False, loud)
        bank = ensure_bank(opened, textures, quiet) if "textures" in synthesizer.needs else None
        if synthesizer.from_defects:
            ensure_real(opened, few_shot(data, category))
        grey = stays_grey(synthesizer, normals)
        defects = synthesizer.from_defects
        offered = material(opened, data.name, category, bank, defects=defects, grey=grey)
        renderer, batch = renderer_of(synthesizer, loading)
        rule = visibility(visible, normals, data.name, category, among=drawn_on)
        samples, sources, _ = render_samples(
            renderer,
            offered,
            key,
            category,
            indices,
            batch=batch,
            visibility=allowing(rule, synthesizer),
            overlap=overlap_of(where, synthesizer, normals),
            same_normals=same_normals,
        )
        shown = [
            Sample(s.image, s.mask, normals[source] if s.clean is None else s.clean)
            for s, source in zip(samples, sources, strict=True)
        ]
    return Drawn(shown, False, loud)
