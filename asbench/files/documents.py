"""Files written whole or not at all, and records: dataclasses kept as JSON, checked when read."""

from __future__ import annotations

import hashlib
import json
import math
import os
import reprlib
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, make_dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Generic,
    Protocol,
    TypeVar,
    get_args,
    get_type_hints,
)

from synth_store.local import is_alive
from synth_store.types import UserError

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, TypeAdapter
    from pydantic_core import CoreSchema, ErrorDetails

    from synth_store.places import Place

UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
"""What pydantic calls a key that no field has."""
UNSAID = {"unsaid": True}
"""Metadata of a record's field that stands in its file only where it is not None."""
SEAL = "sha256"
"""The key of a document's own digest."""


def into_place(path: Path, content: str | bytes | Callable[[Path], object]) -> None:
    """Write a file under a temporary name, then rename it: it is whole, or not there at all.

    content: text, written as UTF-8, bytes, or what writes a file of the name that it is given.
    Raises UserError naming the file when the disk is full or refuses.
    """
    part = path.with_name(f".{_short(path.name)}.{_HOST}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(path.parent)
        try:
            if callable(content):
                content(part)
            else:
                part.write_bytes(content.encode() if isinstance(content, str) else content)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}.") from error


_HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]
"""Names this host in few bytes: of others nobody here knows which processes live."""
_looked: set[tuple[int, Path]] = set()
"""The folders in which a process has looked for what killed ones left."""


def _short(name: str) -> str:
    """Return a file's name, or where more would not fit behind it a digest of it."""
    encoded = os.fsencode(name)
    return name if len(encoded) < 200 else hashlib.sha256(encoded).hexdigest()[:16]


def remove_abandoned(folder: Path) -> None:
    """Delete the parts that killed processes of this host left in a folder, once in a process."""
    if (os.getpid(), folder) in _looked:
        return
    _looked.add((os.getpid(), folder))
    for part in folder.glob(f".*.{_HOST}.*.part"):
        process = part.name.rsplit(".", 2)[1]
        if process.isdecimal() and not is_alive(int(process)):
            part.unlink(missing_ok=True)


def json_text(value: Any, *, ascii_only: bool = False) -> str:
    """Return dataclasses, mappings and sequences as JSON, NaN and infinities as null.

    Raises TypeError for what JSON cannot hold.
    """
    plain = _plain(value)
    return json.dumps(plain, indent=1, allow_nan=False, ensure_ascii=ascii_only) + "\n"


def damaged(path: Path | Place, what: object, again: str) -> UserError:
    """Return what to say of a file that cannot be read; again: how to have it anew."""
    if isinstance(what, KeyError):
        what = f"no {what}"
    elif isinstance(what, OSError):
        what = what.strerror or what
    return UserError(f"{path} cannot be read ({what}): {again}.")


def sealed(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what JSON holds with its own digest as its last key, `sha256`."""
    return {**document, SEAL: _digest(document)}


def refuse_unsealed(document: Mapping[str, Any]) -> None:
    """Raise ValueError where the digest that JSON carries is not its own.

    What an earlier release wrote carries none.
    """
    rest = {key: value for key, value in document.items() if key != SEAL}
    if SEAL in document and document[SEAL] != _digest(rest):
        raise ValueError("it is not what its sha256 says: damaged, or edited by hand")


def _digest(document: Mapping[str, Any]) -> str:
    # As it is read again: tuples are lists then, and keys are text.
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def record_id(decides: Mapping[str, Any]) -> str:
    """Return the first 12 hex digits of the SHA-256 of `decides` in canonical JSON.

    Keys are sorted and floats written as `repr` does, whole ones as integers: mappings that are
    equal have one id, so `ratio=1` and `ratio=1.0` name one run. Raises TypeError for what JSON
    cannot hold and ValueError for NaN and infinities.
    """
    text = json.dumps(_canonical(decides), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class NullIsNaN:
    """Marks a float that is null on disk where it is not finite, and NaN when read again."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(
            lambda value: math.nan if value is None else value, handler(source)
        )


Number = Annotated[float, NullIsNaN()]
"""What was measured: a number, NaN where it is undefined."""


@dataclass(frozen=True, eq=False)
class Keyed:
    """Marks a mapping from text that has these keys and no others.

    keys: the type of each may be said too; absent: what keys that may be missing count as;
    optional: keys that may be missing, and then are.
    """

    keys: Sequence[str] | Mapping[str, Any]
    absent: Mapping[str, Any] = field(default_factory=dict)
    optional: Sequence[str] = ()

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        from pydantic_core import core_schema

        same = dict.fromkeys(self.keys, get_args(source)[1])
        kinds = self.keys if isinstance(self.keys, Mapping) else same
        held = {}
        for key, kind in kinds.items():
            inner = handler.generate_schema(kind)
            if key in self.absent:
                inner = core_schema.with_default_schema(inner, default=self.absent[key])
            required = key not in self.absent and key not in self.optional
            held[key] = core_schema.typed_dict_field(inner, required=required)
        rules = core_schema.CoreConfig(strict=True, extra_fields_behavior="forbid")
        return core_schema.typed_dict_schema(held, config=rules)


R = TypeVar("R")


@dataclass(frozen=True)
class RecordFile(Generic[R]):
    """How records of one kind stand in a file: as JSON, one key for each field of a dataclass.

    The schema number comes first (no number where `schema` is None), then the id of a kind that has
    one. Fields with a default may be missing; every other key must be there, and no further one.
    Numbers, text and truth are not taken for one another. The last key is the digest of the others;
    files of earlier releases have none. again: how to have a damaged file anew.
    """

    kind: type[R]
    name: str
    schema: int | None
    again: str
    ascii_only: bool = False

    def write(self, record: R, folder: Path) -> None:
        """Write a record into a folder, whole or not at all."""
        into_place(folder / self.name, self.text(record))

    def text(self, record: R) -> str:
        """Return what the file of a record holds."""
        head = {"schema": self.schema, "id": getattr(record, "id", None)}
        unsaid = [
            f.name
            for f in fields(self.kind)  # type: ignore[arg-type]
            if f.metadata == UNSAID and getattr(record, f.name) is None
        ]
        said = {name: value for name, value in _plain(record).items() if name not in unsaid}
        document = {**{name: head[name] for name in self._head}, **said}
        return json_text(sealed(_plain(document)), ascii_only=self.ascii_only)

    def read(self, folder: Path) -> R:
        """Return the record of a folder.

        Raises UserError naming the file, and the key, where it is missing, damaged, edited or of
        another schema.
        """
        path = folder / self.name
        try:
            data = path.read_bytes()
        except OSError as error:
            raise damaged(path, error, self.again) from error
        return self.parse(data, path)

    def parse(self, data: str | bytes, path: Path | Place) -> R:
        """Return the record in what was read from `path`; raises UserError as `read` does."""
        from pydantic import ValidationError

        try:
            document = self._adapter.validate_json(data)
            record = self.kind(**{f.name: getattr(document, f.name) for f in fields(self.kind)})  # type: ignore[arg-type]
            if "id" in self._head and document.id != (own := record.id):  # type: ignore[attr-defined]
                raise ValueError(f"its id is {document.id!r}, its settings give {own!r}")
            if getattr(document, SEAL) is not None:
                refuse_unsealed(json.loads(data))
        except ValidationError as error:
            raise self._refusal(path, error.errors(include_url=False)) from error
        except (ValueError, TypeError, RecursionError) as error:
            raise damaged(path, error, self.again) from error
        return record

    @property
    def _head(self) -> list[str]:
        """The keys that are no fields."""
        return ["schema"] * (self.schema is not None) + ["id"] * hasattr(self.kind, "id")

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        from pydantic import Field, TypeAdapter  # late, for it takes time that --help has not

        kinds = {"schema": Annotated[int, Field(ge=self.schema, le=self.schema)], "id": str}
        hints = get_type_hints(self.kind, include_extras=True)
        columns: list[Any] = [(name, kinds[name]) for name in self._head]
        columns += [
            (f.name, hints[f.name], field(default=f.default))
            for f in fields(self.kind)  # type: ignore[arg-type]
        ]
        columns.append((SEAL, str | None, field(default=None)))
        rules = {"__pydantic_config__": {"extra": "forbid", "strict": True}}
        made = make_dataclass(self.kind.__name__, columns, kw_only=True, namespace=rules)
        return TypeAdapter(made)

    def _refusal(self, path: Path | Place, errors: Sequence[ErrorDetails]) -> UserError:
        """Return what to say of the worst of pydantic's errors: another schema, unknown keys."""
        for error in errors:
            if error["loc"] == ("schema",) and type(error["input"]) is int:
                return UserError(
                    f"{path} has schema {error['input']!r}; this version of ASBench reads schema "
                    f"{self.schema}. Install the version that wrote it, or {self.again}."
                )
        worst = min(errors, key=lambda error: error["type"] not in UNKNOWN)
        *place, key = [*map(str, worst["loc"])] or ["it"]
        where = f" in {'.'.join(place)}" if place else ""
        if worst["type"] == "missing":
            what = f"no {key!r}{where}"
        elif worst["type"] in UNKNOWN:
            beside = [e for e in errors if e["loc"][:-1] == worst["loc"][:-1]]
            lacking = [str(e["loc"][-1]) for e in beside if e["type"] == "missing"]
            near = get_close_matches(key, lacking, 1)
            what = f"unknown key {key!r}{where}" + "".join(f"; did you mean {n!r}?" for n in near)
        elif worst["type"] == "json_invalid":
            what = worst["msg"]
        else:
            said = worst["msg"].replace("Input", ".".join([*place, key]), 1)
            what = f"{said}, not {reprlib.repr(worst['input'])}"
        return damaged(path, what, self.again)


class Identified(Protocol):
    """A record that has its id from what decides it. created: ISO 8601."""

    @property
    def id(self) -> str: ...
    @property
    def created(self) -> str: ...


I = TypeVar("I", bound=Identified)  # noqa: E741


class RecordFolder(RecordFile[I]):
    """Records of one kind under a root, each as `<root>/<id>/<name>`; the file comes last."""

    def save(self, record: I, root: Path) -> None:
        """Write `<root>/<id>/<name>`, whole or not at all."""
        self.write(record, root / record.id)

    def finished(self, root: Path, decides: Mapping[str, Any]) -> I | None:
        """Return the record under `root` that `decides` names, None where there is none."""
        folder = root / record_id(decides)
        return self.read(folder) if (folder / self.name).exists() else None

    def rows(self, root: Path) -> list[I]:
        """Return what stands under `root`, oldest first.

        Raises UserError for a damaged file, and for a record in two folders: it would count twice.
        """
        places: dict[str, tuple[I, Path]] = {}
        for path in sorted(root.glob(f"*/{self.name}")):
            record = self.read(path.parent)
            if record.id in places:
                raise UserError(
                    f"{places[record.id][1]} and {path.parent} hold one and the same "
                    f"{path.stem}, which must not count twice: delete one of the folders."
                )
            places[record.id] = record, path.parent
        return sorted((record for record, _ in places.values()), key=lambda r: (r.created, r.id))


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (str, int)):
        return value  # most values are
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _canonical(value: Any) -> Any:
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"keys must be strings: {sorted(map(repr, value))}")
        return {key: _canonical(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(inner) for inner in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
