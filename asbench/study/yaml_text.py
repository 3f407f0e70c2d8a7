"""YAML as a study may be written: names and values, nothing that runs, hangs or fills memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from synth_store.types import UserError

MOST_BYTES = 2**20
MOST_NODES = 100_000
"""Names and values of a file, those that aliases repeat counted each time."""
MOST_DEPTH = 40
MOST_NUMBER = 10**30


class _Loader(yaml.SafeLoader):
    """YAML that does not let one key stand twice: the first would be dropped in silence.

    A date is a text: no setting is one, and there are impossible ones.
    """

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        counted = Counter(key for key in keys if isinstance(key, Hashable))
        for key, times in counted.items():
            if times > 1 and key != "<<":
                raise yaml.MarkedYAMLError(None, None, f"{key!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: Any) -> int:
        value: int = super().construct_yaml_int(node)
        if abs(value) > MOST_NUMBER:
            raise yaml.MarkedYAMLError(None, None, "a number is too large", node.start_mark)
        return value


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_text(path: Path) -> str:
    """Return the text of a file; raises UserError where it is no UTF-8, or too long."""
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise UserError(f"{path} has more than {MOST_BYTES} bytes: no study is that long.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path} is no UTF-8 in line {line} (byte {data[error.start]:#04x}): save it as UTF-8."
        ) from error


def parse(text: str, path: Path) -> dict[str, Any]:
    """Return what a file's text says; raises UserError for what is no YAML of names and values."""
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is not None:
                _weigh(node, {}, 0)
            document = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise UserError(f"{path} is no YAML that can be read: {error}") from error
    except RecursionError as error:
        raise UserError(f"{path} is nested too deeply: a study has few levels.") from error
    except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError) as error:
        # Of the constructors, for numbers, dates and tags that make no sense.
        said = str(error).partition(";")[0]
        raise UserError(f"{path} is no YAML that can be read: {said}.") from error
    if not isinstance(document, dict):
        raise UserError(f"{path} is no study: it must hold names and values, as in `name: mine`.")
    return document


def _weigh(node: Any, weights: dict[int, int], depth: int) -> int:
    """Return how many nodes there are below one; raises YAMLError for too many, and for a loop.

    weights: by a node's id, of those that are done; 0 of those on the way.
    """
    known = weights.get(id(node))
    if known == 0:
        raise yaml.MarkedYAMLError(None, None, "an alias stands within itself", node.start_mark)
    if depth > MOST_DEPTH:
        raise yaml.MarkedYAMLError(None, None, "it is nested too deeply", node.start_mark)
    if known is not None:
        return known
    weights[id(node)] = 0
    inner = node.value if isinstance(node, yaml.CollectionNode) else ()
    pairs = isinstance(node, yaml.MappingNode)
    below = [part for pair in inner for part in pair] if pairs else inner
    weight = 1 + sum(_weigh(part, weights, depth + 1) for part in below)
    if weight > MOST_NODES:
        raise yaml.MarkedYAMLError(
            None, None, f"its aliases repeat more than {MOST_NODES} values", node.start_mark
        )
    weights[id(node)] = weight
    return weight
