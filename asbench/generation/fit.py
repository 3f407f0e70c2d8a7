"""Fitting a learned synthesizer: a data set's normals and few-shot defects in, weights out.

A fit's folder, `<fits>/<dataset>/<method>/<seed>/<category>` (or `all` for one model of all
categories), holds `weights.safetensors`, `samples.png` and `losses.png` to look at, and `fit.json`,
written last: a folder without it is unfinished, and the same command continues it.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch

from asbench.data.ingest import ensure_normals
from asbench.datasets import open_dataset
from asbench.files.documents import damaged, into_place, json_text
from asbench.fitting import loop
from asbench.fitting.contract import LearnedModel, save_kept
from asbench.fitting.curves import curves_png
from asbench.fitting.weights import content_digest, find_weights
from asbench.generation.fitted import (
    ALL,
    FIT_FILE,
    RECORD,
    WEIGHTS,
    Evaluated,
    FitIdentity,
    FitRecord,
    Fitted,
    digest_of,
    fit_folder,
    fit_parameters,
    networks,
    read_fit,
    versions,
)
from asbench.generation.generate import chosen, geometry
from asbench.generation.real import FewShot, few_shot
from asbench.generation.render import in_batches, stays_grey
from asbench.imaging.contact_sheet import Band, contact_sheet, png
from asbench.imaging.noise import noise_of
from asbench.imaging.visibility import described
from asbench.nets.device import find_device
from asbench.nets.seeds import address_seed, private_rng, seed_rng
from asbench.parameters import takes
from asbench.progress import Notify
from asbench.settings import FitSettings
from asbench.synthesizers import own_name, resolve
from asbench.types import (
    Canvas,
    Dataset,
    Defect,
    Interrupted,
    LearnedSynthesizer,
    Material,
    Renderer,
    Subject,
)
from synth_store import Normals, Sample, SynthStore, UserError, address_rng
from synth_store.reader import Foregrounds

BEGUN = "begun.json"
"""What an unfinished fit is to become, so that no other continues it."""
SHEET = 8
"""Samples of every category drawn for a look at what was fitted."""
ROUNDS = 5
"""Times as many draws, at most: those that show nothing are drawn again, as `generate` does."""


@dataclass(frozen=True, eq=False)
class FitPlan:
    """One model to be fitted: the method, what it sees, what it starts from, where it is to stand.

    methods: the method as it is for each category: one where fitting looks. identity: everything
    that decides the weights, but for library versions and the device.
    """

    methods: Mapping[str, LearnedSynthesizer]
    subjects: tuple[Subject, ...]
    weights: Mapping[str, Path]
    identity: FitIdentity
    folder: Path
    device: torch.device

    @property
    def synthesizer(self) -> LearnedSynthesizer:
        """The method that is fitted."""
        return self.methods[self.subjects[0].category]

    @property
    def name(self) -> str:
        """What is fitted on what, for people."""
        return f"{self.identity['method']} on {self.identity['dataset']}/{self.folder.name}"


@takes(FitSettings)
def fit(asked: FitSettings) -> list[Fitted]:
    """Fit a learned synthesizer on a data set's normals and, where it needs them, real defects.

    Methods with one model for a data set fit it on all categories together, or on the one that is
    named.

    Returns the fits, which `generate` finds by themselves. One that stands is returned as it is.
    Only a data set's few-shot third is ever learned from. Raises UserError for what the caller can
    mend: no few-shot defects with a mask, missing weights, another fit at the same place.
    """
    data = open_dataset(asked.dataset, name=asked.name)
    categories = chosen(data.categories(), asked.category, data.name)
    full = own_name(asked.method, asked.variant)
    learned = {c: _learned(full, data.name, c, asked.settings) for c in categories}
    joint = learned[categories[0]].joint
    if joint and asked.category is not None and len(categories) > 1:
        raise UserError(
            f"{full} fits one model for all categories of {data.name}, or for one: leave "
            "--category out, or name one."
        )
    where = find_device(asked.device)
    scope = ["--name", asked.name] if asked.name else []
    scope += [word for c in categories if asked.category is not None for word in ("--category", c)]

    def line(other: str) -> str:
        """Return the command that fits another variant on the same images."""
        start = ["asbench", "fit", "--method", f"{asked.method.partition('@')[0]}@{other}"]
        return shlex.join([*start, "--dataset", asked.dataset, *scope])

    weights = {
        c: find_weights(s.title, s.pretrained, asked.weights or {}, line)
        for c, s in learned.items()
    }
    # Refused before anything is written, where there are no few-shot defects with a mask.
    defects = {c: few_shot(data, c) for c, s in learned.items() if s.learns_from != "normals"}
    opened = SynthStore.create(asked.store, geometry(asked))
    plans = []
    for members in [categories] if joint else [[c] for c in categories]:
        synthesizer, first = learned[members[0]], members[0]
        subjects = tuple(_subject(opened, data, c, defects.get(c), asked) for c in members)
        identity = _identity(
            opened, data.name, full, synthesizer, subjects, asked.seed, weights[first]
        )
        folder = fit_folder(
            asked.fits,
            data.name,
            full,
            asked.seed,
            ALL if joint and asked.category is None else first,
        )
        methods = {c: learned[c] for c in members}
        plans.append(FitPlan(methods, subjects, weights[first], identity, folder, where))
    return [_execute(p, asked) for p in plans]


def _learned(
    method: str, dataset: str, category: str, settings: Mapping[str, Any] | None
) -> LearnedSynthesizer:
    synthesizer = resolve(method, dataset=dataset, category=category, settings=settings)
    if not isinstance(synthesizer, LearnedSynthesizer):
        raise UserError(
            f"{method} has nothing to fit: render it at once with "
            f"`asbench generate --method {method}`."
        )
    return synthesizer


def _subject(
    store: SynthStore,
    data: Dataset,
    category: str,
    few: FewShot | None,
    asked: FitSettings,
) -> Subject:
    """Return what the method may see of a category."""
    normals = ensure_normals(store, data, category, asked.progress, asked.object, asked.empty_tiles)
    items = few.items if few is not None else ()
    defects = tuple(
        Defect(item.id, item.defect, *few.read(item, store.geometry)) for item in items if few
    )
    return Subject(category, normals, Foregrounds(normals), defects)


def _identity(
    store: SynthStore,
    dataset: str,
    method: str,
    synthesizer: LearnedSynthesizer,
    subjects: Sequence[Subject],
    seed: int,
    weights: Mapping[str, Path],
) -> FitIdentity:
    seen = hashlib.sha256()
    for subject in subjects:
        for defect in subject.defects:
            seen.update(f"{subject.category}/{defect.id}\x1f{defect.kind}\x1f".encode())
            seen.update(defect.image.tobytes() + defect.mask.tobytes())
    return {
        "dataset": dataset,
        "method": method,
        "seed": seed,
        "geometry": str(store.geometry),
        "parameters": fit_parameters(synthesizer),
        "pixel_version": synthesizer.pixel_version,
        "normals": {s.category: store.normals(dataset, s.category).digest for s in subjects},
        "kinds": {s.category: sorted({d.kind for d in s.defects}) for s in subjects},
        "defects": {s.category: [d.id for d in s.defects] for s in subjects},
        "defects_digest": seen.hexdigest(),
        "weights": {name: content_digest(path) for name, path in weights.items()},
    }


def _execute(plan: FitPlan, asked: FitSettings) -> Fitted:
    """Fit, or go on, or return what stands."""
    folder, device = plan.folder, plan.device
    if asked.replace and folder.exists():
        shutil.rmtree(folder)
    _refuse_another(plan)
    if (folder / RECORD).exists():
        asked.notify(f"{plan.name} stands already in {folder}: it is not fitted again")
        return read_fit(folder)
    kinds = {c: tuple(k) for c, k in plan.identity["kinds"].items()}
    with private_rng(device):
        seed_rng(address_seed("build", plan.identity["method"], plan.identity["seed"]), device)
        model = networks(plan.synthesizer, kinds, plan.weights).to(device)
        stages = model.stages(plan.subjects)
    begun = json_text(plan.identity, ascii_only=True)
    into_place(folder / BEGUN, begun)  # not before weights were found to fit
    fitting = loop.fit(
        model,
        stages,
        seed=plan.identity["seed"],
        device=device,
        folder=folder / "checkpoint",
        progress=lambda stage, done, total: asked.progress(f"{plan.name}: {stage}", done, total),
        notify=asked.notify,
        stop=asked.stop,
    )
    if not fitting.done:
        raise Interrupted(
            f"stopped at step {fitting.steps}, saved in {folder}: the same command continues from "
            "there."
        )
    model.eval()
    save_kept(model, folder / WEIGHTS)
    into_place(folder / "losses.png", curves_png(fitting.curves, plan.name))
    into_place(folder / "samples.png", partial(_draw, plan, model, asked.notify))
    record = FitRecord(
        identity=plan.identity,
        digest=digest_of(folder / WEIGHTS, plan.identity["weights"]),
        losses=fitting.curves,
        seconds=round(fitting.seconds, 1),
        device=device.type,
        threads=torch.get_num_threads(),
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    FIT_FILE.write(record, folder)
    shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    (folder / BEGUN).unlink(missing_ok=True)
    return read_fit(folder)


def _refuse_another(plan: FitPlan) -> None:
    """Raise UserError, naming what differs, where the folder is of another fit."""
    for name in (RECORD, BEGUN):
        path = plan.folder / name
        if not path.exists():
            continue
        there = read_fit(plan.folder).record.identity if name == RECORD else _begun(path)
        for key, wanted in plan.identity.items():
            if there.get(key) != wanted:
                raise UserError(
                    f"{plan.folder} holds another fit: its {key} is {there.get(key)!r}, not "
                    f"{wanted!r}. Give the parameters a name of their own with --variant, take "
                    "another --seed, or remove what is there with --replace."
                )


def _draw(plan: FitPlan, model: LearnedModel, notify: Notify, path: Path) -> None:
    """Draw samples of every category, to look at."""
    bands = []
    for subject in plan.subjects:
        method = plan.methods[subject.category]
        material = Material(
            plan.identity["dataset"],
            subject.category,
            subject.normals,
            subject.foregrounds,
            grey=isinstance(subject.normals, Normals) and stays_grey(method, subject.normals),
        )
        model.method = method
        shown, draws = _shown(Evaluated(model), method.batch, material)
        if shown:
            loud = noise_of(subject.normals, plan.identity["dataset"], subject.category)
            said = f"{plan.name}: {subject.category}: {described(shown, loud)}"
            if draws > SHEET:
                said = f"{said}; {len(shown)} of {draws} draws show anything"
            notify(said)
            bands.append(Band(said, shown))
    if not bands:
        raise UserError(
            f"{plan.name} shows nothing in {SHEET * ROUNDS} draws after it was fitted: fit it for "
            "more steps (--set steps=...)."
        )
    path.write_bytes(png(contact_sheet(bands, side=96)))


def _shown(renderer: Renderer, batch: int, material: Material) -> tuple[list[Sample], int]:
    """Return up to `SHEET` samples that show something, each with its clean image, and the draws.

    Draws come in rounds of `SHEET`; no more of them than `ROUNDS`.
    """
    shown: list[Sample] = []
    for first in range(0, SHEET * ROUNDS, SHEET):
        indices = range(first, first + SHEET)
        rngs = [address_rng("sheet", material.category, i) for i in indices]
        canvases = [Canvas(material, i % len(material.normals)) for i in indices]
        drawn = in_batches(renderer, batch, indices, canvases, rngs)
        shown += [
            Sample(s.image, s.mask, c.normal if s.clean is None else s.clean)
            for s, c in zip(drawn, canvases, strict=True)
            if s is not None
        ]
        if len(shown) >= SHEET:
            break
    return shown[:SHEET], indices.stop


def _begun(path: Path) -> Mapping[str, Any]:
    """Return what an unfinished fit is to become; every key of it is looked at by who asks."""
    try:
        there = json.loads(path.read_bytes())
        if not isinstance(there, dict):
            raise ValueError("it holds no settings")
    except (OSError, ValueError) as error:
        raise damaged(path, error, FIT_FILE.again) from error
    return there
