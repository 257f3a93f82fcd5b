"""The search itself: secrets in all places, and what could not be looked at. Blocking, for a thread of its own."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from appliance.leaks import places
from appliance.leaks.finder import Finder, Sought
from appliance.leaks.orders import Found, Looked, Process, Skipped

BUS = "bus"
"""What a process is that holds no login by right."""


def search(
    sought: Sequence[Sought], paths: Iterable[str], processes: Iterable[Process], logins: Collection[str] = ()
) -> Looked:
    """Look for every secret in every place. `logins`: the names of those that are part of a vault's login, which may be
    in the memory of our own processes, but not in the bus's.
    """
    return _Search(Finder(sought), frozenset(logins)).through(paths, processes)


class _Search:
    def __init__(self, finder: Finder, logins: frozenset[str]) -> None:
        self._finder = finder
        self._logins = logins
        self._found: list[Found] = []
        self._skipped: list[Skipped] = []
        self._files = self._bytes = self._values = 0
        self._seen: list[Process] = []

    def through(self, paths: Iterable[str], processes: Iterable[Process]) -> Looked:
        for path in paths:
            for file in places.files(Path(path), self._unreadable):
                self._file(file)
        for process in processes:
            self._process(process)
        return Looked(
            files=self._files,
            bytes=self._bytes,
            values=self._values,
            processes=tuple(self._seen),
            skipped=tuple(self._skipped),
            found=tuple(self._found),
        )

    def _file(self, path: Path) -> None:
        try:
            self._look(str(path), self._counted(places.content(path)))
            database = places.is_database(path)
        except OSError as error:  # of a failed read it does not say which file
            self._skip(str(path), error.strerror or "cannot be read")
            return
        self._files += 1
        self._look(f"the name of {path}", [str(path).encode(errors="surrogateescape")])
        if database:
            try:
                self._look(f"{path}, value by value", self._rows(places.values(path)))
            except places.BrokenDatabaseError as error:
                self._skip(f"{path}, value by value", str(error))

    def _process(self, process: Process) -> None:
        try:
            self._look(f"arguments and environment of {process}", places.arguments(process.pid))
            allowed = frozenset() if process.what == BUS else self._logins
            self._look(f"memory of {process}", places.memory(process.pid), allowed)
        except (FileNotFoundError, ProcessLookupError):
            self._skip(f"memory of {process}", "it has ended")
        except PermissionError:
            self._skip(f"memory of {process}", "only root may look at it")
        except OSError as error:
            self._skip(f"memory of {process}", error.strerror or "cannot be read")
        else:
            self._seen.append(process)

    def _look(self, place: str, stream: Iterable[bytes], allowed: frozenset[str] = frozenset()) -> None:
        hits = [hit for hit in self._finder.hits(stream) if hit.name not in allowed]
        self._found += [Found(secret=h.name, form=h.form, place=_printable(place), offset=h.offset) for h in hits]

    def _counted(self, stream: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in stream:
            self._bytes += len(chunk)
            yield chunk

    def _rows(self, stream: Iterator[bytes]) -> Iterator[bytes]:
        for row in stream:
            self._values += 1
            yield row

    def _unreadable(self, error: OSError) -> None:
        self._skip(str(error.filename), error.strerror or "cannot be read")

    def _skip(self, place: str, why: str) -> None:
        self._skipped.append(Skipped(place=_printable(place), why=_printable(why)))


def _printable(place: str) -> str:
    """A file's name need not be UTF-8, and what is told of it has to be."""
    return os.fsencode(place).decode("utf-8", "backslashreplace")
