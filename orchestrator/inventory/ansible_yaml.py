"""Ansible's inventory in its YAML form: groups with `hosts`, `children` and `vars`."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from orchestrator.inventory.ansible_ini import hosts
from orchestrator.inventory.found import SECRETS, Found, InventoryError, Refusal, ignored_secret

DEPTH_MAX = 50
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml where there is one: six times as fast."""
_MERGE = "<<"
_NULL = "tag:yaml.org,2002:null"


def read(text: str) -> Iterator[Found | Refusal]:
    """Raises InventoryError. Nodes are read as they stand, with their lines; no object is made of them."""
    try:
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise InventoryError(f"is no YAML: {error.problem}", mark.line + 1 if mark else 0) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise InventoryError(f"is no YAML that can be read ({type(error).__name__})") from None
    if not isinstance(root, yaml.MappingNode):
        raise InventoryError("is YAML, but no inventory: groups are expected at its top", 1)
    reader = _Reader()
    for name, node in _items(root):
        yield from reader.group(name, node, 0)


class _Reader:
    """Reads each node once, however often an alias comes back to it: aliases multiply, and the time with them."""

    def __init__(self) -> None:
        self._read: set[int] = set()
        self._variables: dict[int, tuple[str, str]] = {}
        """`ansible_host` and `ansible_connection` by the node that sets them."""

    def group(self, name: yaml.Node, group: yaml.Node, depth: int) -> Iterator[Found | Refusal]:
        if depth > DEPTH_MAX:
            raise InventoryError("nests its groups too deeply", _line(name))
        if self._known(group):
            return
        if not isinstance(group, yaml.MappingNode):
            if group.value:
                yield Refusal(_line(name), f"group {name.value[:80]!r} is no mapping of hosts, children and vars")
            return
        for key, part in _items(group):
            if key.value == _MERGE:
                yield Refusal(_line(key), f"group {name.value[:80]!r} merges another (<<); write its hosts out")
            elif key.value in ("hosts", "children", "vars") and not self._known(part):
                yield from self._part(key, part, depth)

    def _part(self, key: yaml.Node, part: yaml.Node, depth: int) -> Iterator[Found | Refusal]:
        if not isinstance(part, yaml.MappingNode):
            if part.value:
                yield Refusal(_line(key), f"{key.value} is no mapping; give each name a line with a colon at its end")
            return
        for name, node in _items(part):
            match key.value:
                case "hosts":
                    yield from self._host(name, node)
                case "children":
                    yield from self.group(name, node, depth + 1)
                case _ if name.value in SECRETS:
                    yield ignored_secret(_line(name), name.value)

    def _host(self, name: yaml.Node, variables: yaml.Node) -> Iterator[Found | Refusal]:
        if not self._known(variables):
            yield from self._learn(variables)
        yield from hosts(_line(name), name.value, *self._variables.get(id(variables), ("", "")))

    def _learn(self, variables: yaml.Node) -> Iterator[Refusal]:
        known: dict[str, str] = {}
        for key, value in _items(variables) if isinstance(variables, yaml.MappingNode) else ():
            if key.value in SECRETS:
                yield ignored_secret(_line(key), key.value)
            elif key.value == _MERGE:
                why = "merges other variables (<<), which are not read; write an ansible_host that is among them here"
                yield Refusal(_line(key), why, ignored=True)
            elif isinstance(value, yaml.ScalarNode) and value.tag != _NULL:
                known[key.value] = value.value
        self._variables[id(variables)] = known.get("ansible_host", ""), known.get("ansible_connection", "")

    def _known(self, node: yaml.Node) -> bool:
        if id(node) in self._read:
            return True
        self._read.add(id(node))
        return False


def _items(node: yaml.MappingNode) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """Keys that are plain words, with their values."""
    return ((key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode))


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
