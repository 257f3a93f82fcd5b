"""Ansible's inventory in its YAML form: groups with `hosts`, `children` and `vars`."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from orchestrator.inventory.ansible_ini import hosts
from orchestrator.inventory.found import SECRETS, Found, InventoryError, Refusal, ignored_secret

DEPTH_MAX = 50


def read(text: str) -> Iterator[Found | Refusal]:
    """Raises InventoryError. Nodes are read as they stand, with their lines; no object is made of them."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise InventoryError(f"is no YAML: {error.problem}", mark.line + 1 if mark else 0) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise InventoryError(f"is no YAML that can be read ({type(error).__name__})") from None
    if not isinstance(root, yaml.MappingNode):
        raise InventoryError("is YAML, but no inventory: groups are expected at its top", 1)
    seen: set[int] = set()
    for name, node in _items(root):
        yield from _group(name, node, seen, 0)


def _group(name: yaml.Node, group: yaml.Node, seen: set[int], depth: int) -> Iterator[Found | Refusal]:
    if depth > DEPTH_MAX:
        raise InventoryError("nests its groups too deeply", _line(name))
    if id(group) in seen:  # an alias: it has been read where it was written
        return
    seen.add(id(group))
    if not isinstance(group, yaml.MappingNode):
        if group.value:
            yield Refusal(_line(name), f"group {str(name.value)[:80]!r} is no mapping of hosts, children and vars")
        return
    for key, part in _items(group):
        if not isinstance(part, yaml.MappingNode):
            continue
        match key.value:
            case "hosts":
                for host, variables in _items(part):
                    yield from _host(host, variables)
            case "children":
                for child, node in _items(part):
                    yield from _group(child, node, seen, depth + 1)
            case "vars":
                yield from (ignored_secret(_line(v), v.value) for v, _ in _items(part) if v.value in SECRETS)


def _host(name: yaml.Node, variables: yaml.Node) -> Iterator[Found | Refusal]:
    known: dict[str, str] = {}
    for key, value in _items(variables) if isinstance(variables, yaml.MappingNode) else ():
        if key.value in SECRETS:
            yield ignored_secret(_line(key), key.value)
        elif isinstance(value, yaml.ScalarNode):
            known[key.value] = value.value
    yield from hosts(_line(name), name.value, known.get("ansible_host", ""), known.get("ansible_connection", ""))


def _items(node: yaml.MappingNode) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """Keys that are plain words, with their values."""
    return ((key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode))


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
