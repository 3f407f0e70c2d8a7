"""What is on this machine of what a study names, and what is not, with the reason."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from asbench import plugins
from asbench.data.validation_part import kept_count
from asbench.datasets import open_dataset
from asbench.detectors import pretrained_of, protocol_of, resolve
from asbench.fitting.weights import find_weights
from asbench.nets import detector as contract
from asbench.nets.pretrained import is_network
from asbench.quality.metrics import METRICS, available
from asbench.quality.weights import NETWORKS as QUALITY_NETWORKS
from asbench.results import BEST_ON_TEST
from asbench.settings import AUTO, OBJECTS, TEXTURES, TrainSettings
from asbench.study.record import Cell, frozen
from asbench.study.spec import Budget, Study
from asbench.synthesizers import PACKAGE as SYNTHESIZERS
from asbench.synthesizers import resolve as resolve_method
from asbench.types import Dataset, LearnedSynthesizer, Synthesizer
from synth_store import UserError

PAPER = {
    "method": ("anomalydiffusion", "dfmgan", "realnet"),
    "data set": ("btad", "mpdd", "mtd", "mvtec", "visa"),
}
"""Names of the paper that a study may hold although no plugin here has them: absent, not wrong."""

KEPT_OUT = TrainSettings().kept_out

Kind = Literal["method", "data", "weights", "quality"]


@dataclass(frozen=True)
class Absence:
    """Something that cells need and that is not here, with the reason and what to do."""

    kind: Kind
    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.reason}"


@dataclass(frozen=True)
class Settled:
    """A detector's budget on one category, nothing left open."""

    ratio: float
    steps: int
    in_epochs: bool
    batch: int
    parameters: tuple[tuple[str, Any], ...]


@dataclass
class Availability:
    """What is on this machine of what a study names; every question is looked up once."""

    study: Study
    faults: list[str]
    normals: dict[tuple[str, str], int] = field(default_factory=dict)
    methods: dict[str, Synthesizer | None] = field(default_factory=dict)
    _data: dict[str, Dataset | Absence | None] = field(default_factory=dict)
    _lacking: dict[tuple[str, str], Absence | None] = field(default_factory=dict)
    _budgets: dict[Any, Settled | None] = field(default_factory=dict)

    def fault(self, text: str) -> None:
        self.faults.append(text)

    def data(self, name: str) -> Dataset | Absence | None:
        """Return a data set, why it is not here, or None for a name that nothing has."""
        if name not in self._data:
            self._data[name] = self._opened(name)
        return self._data[name]

    def _opened(self, name: str) -> Dataset | Absence | None:
        folder = self.study.folders.get(name)
        plain = name.partition("@")[0]
        known = {*plugins.names("asbench.datasets"), *PAPER["data set"]} - {"folder"}
        if folder is None and plain not in known:
            hint = f"If it is a folder, say where: `folders: {{{name}: PATH}}`."
            self.fault(f"datasets: {unknown('data set', name, known)} {hint}")
            return None
        if folder is None and plain not in plugins.names("asbench.datasets"):
            return Absence("data", name, "no reader of this data set is installed.")
        try:
            return open_dataset(folder or name, name=name if folder else None)
        except UserError as error:
            return Absence("data", name, str(error))

    def categories(self, name: str, stated: Mapping[str, int | None]) -> list[str]:
        """Return a data set's categories: those stated, or all of one that is here."""
        data = self.data(name)
        if data is None:
            return []
        if isinstance(data, Absence):
            if not stated:
                self.fault(f"datasets.{name}: it is not here, so its categories must be named.")
            for category, normals in stated.items():
                self.normals.setdefault((name, category), normals or 0)
            return list(stated)
        known = data.categories()
        for category in stated:
            if category not in known:
                self.fault(f"datasets.{name}: {unknown('category', category, known)}")
        chosen = [c for c in stated or known if c in known]
        for category in chosen:
            if (name, category) not in self.normals:
                self.normals[name, category] = len(data.train(category))
        return chosen

    def settled(self, budget: Budget, dataset: str, category: str) -> Settled | None:
        """Return a detector's budget on a category; None, with a fault, where there is none."""
        said = {**budget.training, "epochs": budget.epochs}
        said["settings"] = frozen(budget.training.get("settings") or {})
        key = (budget.detector, frozen(said))
        at = (*key, self.normals[dataset, category], self.normals[dataset, category] or dataset)
        if at not in self._budgets:
            try:
                self._budgets[at] = self._settle(budget, dataset, category)
            except UserError as error:
                self._budgets[at] = None
                self.fault(f"detectors.{budget.detector}: {error}")
        return self._budgets[at]

    def _settle(self, budget: Budget, dataset: str, category: str) -> Settled:
        cls, parameters = resolve(budget.detector, budget.training.get("settings"))
        protocol = protocol_of(budget.detector)
        geometry = self.study.geometry
        if geometry.height % cls.stride or geometry.width % cls.stride:
            raise UserError(
                f"image sides must be multiples of {cls.stride}, and the study's are {geometry}."
            )
        batch = budget.training.get("batch") or protocol.batch
        normals = 0  # nobody knows how many tiles there will be
        if not geometry.tiled:
            normals = self.normals[dataset, category]
            normals -= kept_count(normals, self.study.protocol.get("kept_out", KEPT_OUT))
        steps = self._steps(budget, protocol, batch, normals, (dataset, category))
        self._check_looks(protocol, steps, normals)
        return Settled(
            ratio=protocol.ratio,
            steps=steps,
            in_epochs=budget.epochs is not None
            or ("steps" not in budget.training and protocol.epochs is not None),
            batch=batch,
            parameters=frozen(parameters),
        )

    def _check_looks(self, protocol: contract.Protocol, steps: int, normals: int) -> None:
        """Raise UserError where a training ends before its checkpoints are looked at."""
        if self.study.protocol.get("select") != BEST_ON_TEST or not normals:
            return
        every = protocol.select_every(normals)
        if every >= steps:
            raise UserError(
                f"best-on-test looks at checkpoints every {every} steps, and {steps} steps leave "
                f"none to choose from: train for more than {every}, or say `select: last`."
            )

    def _steps(
        self,
        budget: Budget,
        protocol: contract.Protocol,
        batch: int,
        normals: int,
        place: tuple[str, str],
    ) -> int:
        """Return the steps of a training; normals: how many train, 0 where nobody knows."""
        if (steps := budget.training.get("steps")) is not None:
            return int(steps)
        if budget.epochs is None and protocol.steps is not None:
            return protocol.steps
        if not normals and self.study.geometry.tiled:
            raise UserError(
                "epochs of tiles have no length before photographs are cut: give steps instead."
            )
        if not normals:
            dataset, category = place
            raise UserError(
                f"epochs of {dataset}/{category} have no length: the data is not here, so state "
                f"its training normals, as in `{dataset}: {{{category}: 200}}`, or give steps."
            )
        if budget.epochs is not None:
            return budget.epochs * -(-normals // batch)
        return protocol.steps_for(normals)

    def unmeasurable(self) -> dict[str, Absence]:
        """Return the quality metrics that the study asks for and that cannot be had here."""
        asked = (self.study.quality or {}).get("metrics", ())
        for name in asked:
            if name not in METRICS:
                self.fault(f"quality.metrics: {unknown('metric', name, METRICS)}")
        if not asked:
            return {}
        given = {
            name: Path(path).expanduser()
            for name, path in self.study.weights.items()
            if name in QUALITY_NETWORKS
        }
        why = {name: reason for name in asked if (reason := available(given).get(name))}
        alike = {text: [name for name in why if why[name] == text] for text in why.values()}
        return {name: Absence("quality", ", ".join(alike[why[name]]), why[name]) for name in why}

    def lacks(self, cell: Cell) -> tuple[Absence, ...]:
        """Return what a cell needs and is not here."""
        data = self.data(cell.dataset)
        absences = [data] if isinstance(data, Absence) else []
        looked_up = [
            self._looked_up("weights", cell.detector, partial(self._weights, cell)),
        ]
        looked_up.append(self._looked_up("objects", cell.dataset, partial(self._objects, cell)))
        for method in cell.methods:
            looked_up.append(self._looked_up("method", method, partial(self._method, method, cell)))
            synthesizer = self.methods.get(method)
            if synthesizer is not None and "textures" in synthesizer.needs:
                looked_up.append(self._looked_up("data", "textures", self._textures))
        return (*absences, *(absence for absence in looked_up if absence is not None))

    def _looked_up(
        self, kind: str, name: str, look: Callable[[], Absence | None]
    ) -> Absence | None:
        if (kind, name) not in self._lacking:
            self._lacking[kind, name] = look()
        return self._lacking[kind, name]

    def _weights(self, cell: Cell) -> Absence | None:
        given = {
            name: Path(path).expanduser()
            for name, path in self.study.weights.items()
            if is_network(name)
        }
        try:
            pretrained_of(cell.detector, cell.training.settings, given)
        except UserError as error:
            return Absence("weights", cell.detector, str(error))
        return None

    def _method(self, name: str, cell: Cell) -> Absence | None:
        """Look a method up. A learned one that is not fitted is not absent: fitting is a job."""
        plain = name.partition("@")[0]
        if plain in PAPER["method"] and plain not in plugins.names(SYNTHESIZERS):
            self.methods[name] = None
            return Absence("method", name, "no plugin of this method is installed.")
        settings = self.study.variants.get(name)
        try:
            self.methods[name] = resolve_method(
                name, dataset=cell.dataset, category=cell.category, settings=settings
            )
        except UserError as error:
            self.methods[name] = None
            self.fault(f"mixes: {error}")
            return None
        return self._starting_weights(name)

    def _starting_weights(self, name: str) -> Absence | None:
        """Look for the pretrained weights that a learned method is fitted from."""
        method = self.methods[name]
        if not isinstance(method, LearnedSynthesizer):
            return None
        names = {file.name for file in method.pretrained}
        given = {n: Path(p).expanduser() for n, p in self.study.weights.items() if n in names}
        try:
            find_weights(method.title, method.pretrained, given)
        except UserError as error:
            return Absence("weights", name, str(error))
        return None

    def check_objects(self) -> None:
        """Note the data sets whose objects the study places and that nothing is called."""
        parts = (name for part in self.study.parts for name in part.datasets)
        known = {*parts, *self.study.folders, *plugins.names("asbench.datasets")}
        for name in self.study.objects:
            if name not in known and name.partition("@")[0] not in known:
                self.fault(f"objects.{name}: {unknown('data set', name, known)}")

    def _objects(self, cell: Cell) -> Absence | None:
        """Look for the folder of masks that says where a data set's objects are, if one does."""
        rule = self.study.objects.get(cell.dataset, AUTO)
        if rule in OBJECTS or Path(rule).expanduser().is_dir():
            return None
        what = f"{rule} is no folder of masks here, and no rule: those are {', '.join(OBJECTS)}."
        return Absence("data", f"{cell.dataset} (objects)", what)

    def _textures(self) -> Absence | None:
        name = self.study.textures
        if name == TEXTURES:
            return None
        try:
            bank = open_dataset(name)
        except UserError as error:
            return Absence("data", f"{name} (textures)", str(error))
        if len(bank.categories()) != 1:
            self.fault(f"textures: {name} has several categories: name a folder of images only.")
        return None


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    choices: Sequence[str] = sorted(known)
    near = difflib.get_close_matches(name, choices, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(choices)}."
    return f"{kind} {name!r} is unknown: {hint}"
