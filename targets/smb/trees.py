"""What a client does once its session stands: shares, and the pipes and files in them (MS-SMB2 3.3.5.7 and on)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from targets.smb import wire, wire_tree
from targets.smb.rpc import Endpoint, Pipe
from targets.smb.status import Status
from targets.smb.wire import Command, Header
from targets.smb.wire_tree import Ioctl


class Rooms(Protocol):
    """What of a host can be entered."""

    @property
    def shares(self) -> Mapping[str, int]:
        """By name in upper case: SUCCESS, or the status that a tree connect is refused with."""
        ...

    def open_pipe(self, name: str) -> Endpoint | int:
        """What answers on a pipe, or the status that refuses it; `name` is in lower case."""
        ...


class Trees:
    """Those of one session. `number` gives one that no tree or file has yet, `info` what was negotiated."""

    def __init__(self, rooms: Rooms, number: Callable[[], int], info: Callable[[], bytes]) -> None:
        self._rooms = rooms
        self._number = number
        self._info = info
        self._trees: dict[int, str] = {}
        self._files: dict[bytes, Pipe | None] = {}
        """By id; None: of a disk."""

    def answer(self, header: Header, request: bytes) -> bytes:
        """Raises WireError."""
        if header.command == Command.TREE_CONNECT:
            return self._connect(header, request)
        if header.tree not in self._trees:
            return wire.error(header, Status.NETWORK_NAME_DELETED)
        match header.command:
            case Command.TREE_DISCONNECT:
                del self._trees[header.tree]
                return wire.bare(header)
            case Command.CREATE:
                return self._create(header, wire_tree.read_create(request))
            case Command.CLOSE:
                return self._close(header, wire_tree.read_close(request))
            case Command.IOCTL:
                return self._control(header, wire_tree.read_ioctl(request))
            case Command.WRITE:
                return self._write(header, *wire_tree.read_write(request))
            case Command.READ:
                return self._read(header, *wire_tree.read_read(request))
        return wire.error(header, Status.INVALID_DEVICE_REQUEST)

    def _connect(self, header: Header, request: bytes) -> bytes:
        share = wire_tree.read_tree_connect(request).upper()
        status = self._rooms.shares.get(share, Status.BAD_NETWORK_NAME)
        if status != Status.SUCCESS:
            return wire.error(header, status)
        tree = self._number()
        self._trees[tree] = share
        return wire_tree.tree_connected(header, tree, wire_tree.PIPE if share == "IPC$" else wire_tree.DISK)

    def _create(self, header: Header, name: str) -> bytes:
        is_pipe = self._trees[header.tree] == "IPC$"
        pipe: Pipe | None = None
        if is_pipe:
            name = name.removeprefix("\\").lower()
            endpoint = self._rooms.open_pipe(name)
            if isinstance(endpoint, int):
                return wire.error(header, endpoint)
            pipe = Pipe(name, endpoint)
        elif name:
            return wire.error(header, Status.OBJECT_NAME_NOT_FOUND)
        file = self._number().to_bytes(8, "little") * 2
        self._files[file] = pipe
        return wire_tree.created(header, file, directory=not is_pipe)

    def _close(self, header: Header, file: bytes) -> bytes:
        if file not in self._files:
            return wire.error(header, Status.FILE_CLOSED)
        del self._files[file]
        return wire_tree.closed(header)

    # -- pipes ---------------------------------------------------------------------------------------------------------

    def _control(self, header: Header, asked: Ioctl) -> bytes:
        if asked.code == wire_tree.VALIDATE_NEGOTIATE_INFO:
            return wire_tree.controlled(header, asked, self._info())
        pipe = self._files.get(asked.file)
        if asked.code != wire_tree.PIPE_TRANSCEIVE or pipe is None:
            return wire.error(header, Status.FS_DRIVER_REQUIRED)
        pipe.waiting = pipe.answer(asked.data)
        data, status = _taken(pipe, asked.output_max)
        return wire_tree.controlled(header, asked, data, status)

    def _write(self, header: Header, file: bytes, data: bytes) -> bytes:
        pipe = self._files.get(file)
        if pipe is None:
            return wire.error(header, Status.INVALID_DEVICE_REQUEST)
        pipe.waiting = pipe.answer(data)
        return wire_tree.written(header, len(data))

    def _read(self, header: Header, file: bytes, length: int) -> bytes:
        pipe = self._files.get(file)
        if pipe is None:
            return wire.error(header, Status.INVALID_DEVICE_REQUEST)
        if not pipe.waiting:
            return wire.error(header, Status.PIPE_EMPTY)
        data, status = _taken(pipe, length)
        return wire_tree.was_read(header, data, status)


def _taken(pipe: Pipe, most: int) -> tuple[bytes, int]:
    """What waits in a pipe, as much as is taken at a time, and whether there is more."""
    data, pipe.waiting = pipe.waiting[:most], pipe.waiting[most:]
    return data, Status.BUFFER_OVERFLOW if pipe.waiting else Status.SUCCESS
