r"""The folder tree: ids and paths (`\Scan\Linux`). The root `\` is no folder: a folder right below it has parent -1."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

NO_FOLDER = -1
_FIRST_ID = 2


@dataclass(frozen=True, slots=True)
class Folder:
    id: int
    path: str
    parent: int

    @property
    def name(self) -> str:
        return self.path.rsplit("\\", 1)[-1]


class Folders:
    def __init__(self) -> None:
        self._by_path: dict[str, Folder] = {}
        self._by_id: dict[int, Folder] = {}
        self._children: defaultdict[int, list[int]] = defaultdict(list)

    def add(self, path: str) -> int:
        """The folder's id; it is made, with those above it, where there is none yet."""
        if known := self._by_path.get(path.casefold()):
            return known.id
        above = path.rpartition("\\")[0]
        parent = self.add(above) if above else NO_FOLDER
        made = Folder(_FIRST_ID + len(self._by_id), path, parent)
        self._by_path[path.casefold()] = self._by_id[made.id] = made
        self._children[parent].append(made.id)
        return made.id

    def get(self, folder_id: int) -> Folder | None:
        return self._by_id.get(folder_id)

    def at_path(self, path: str) -> Folder | None:
        return self._by_path.get(path.casefold().rstrip("\\"))

    def children(self, folder_id: int) -> list[Folder]:
        return [self._by_id[i] for i in self._children.get(folder_id, ())]

    def below(self, folder_id: int) -> list[Folder]:
        """All folders under one, whatever the depth."""
        found = []
        for child in self.children(folder_id):
            found += [child, *self.below(child.id)]
        return found

    def all(self) -> list[Folder]:
        return sorted(self._by_id.values(), key=lambda f: f.path.casefold())
