"""Commands forked from a process that has imported the product already.

An interpreter that imports the product takes most of a second of CPU, and the suite runs more than a thousand commands
to their end. A command of here is a process too, with arguments, an environment, a session and descriptors of its own,
and it ends as an interpreter ends; only its imports were done before. What is about a process itself (how it starts,
its command line, its death, its terminal) is tested with the console script: `product.KEYMUSTER`.

    test --(socket: a job, and its descriptors)--> template --fork--> warden --fork--> command

The warden waits for its one command and tells its pid and how it ended, each a line.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import json
import os
import pkgutil
import runpy
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).parents[2]
PRODUCT = ("appliance", "orchestrator", "targets")
JOB_BYTES = 1 << 20
CHUNK = 1 << 16


class Forked:
    """A command under way."""

    def __init__(self, told: int) -> None:
        self._told = os.fdopen(told, encoding="ascii")
        self.pid = int(self._told.readline())

    def wait(self, timeout: float | None = None) -> int:
        """How it has ended; negative: the signal that ended it. To be asked until it has. Raises TimeoutExpired."""
        if timeout is not None and not select.select([self._told], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        with self._told:
            return int(self._told.readline())

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)


@dataclass(frozen=True, slots=True)
class Template:
    """The process that forks."""

    process: subprocess.Popen[bytes]
    control: socket.socket
    network: int
    """Its namespace, and that of its commands."""

    def begin(
        self, module: str, arguments: Sequence[str], env: Mapping[str, str], stdio: tuple[int, int, int]
    ) -> Forked:
        """`python -m MODULE ARGUMENTS` with this environment and these descriptors; `keymuster`: the console script."""
        reading, writing = os.pipe()
        try:
            job = json.dumps({"module": module, "arguments": arguments, "env": dict(env), "cwd": str(Path.cwd())})
            socket.send_fds(self.control, [job.encode()], [*stdio, writing])
        finally:
            os.close(writing)
        return Forked(reading)

    def run(self, arguments: Sequence[str], env: Mapping[str, str], timeout: float) -> subprocess.CompletedProcess[str]:
        """`keymuster ARGUMENTS` to its end, and to the end of whoever else holds its output."""
        nothing = os.open(os.devnull, os.O_RDONLY)
        (out, out_end), (err, err_end) = os.pipe(), os.pipe()
        try:
            command = self.begin("keymuster", arguments, env, (nothing, out_end, err_end))
        finally:
            for end in (nothing, out_end, err_end):
                os.close(end)
        try:
            texts = _read((out, err), timeout)
        except subprocess.TimeoutExpired:
            command.kill()
            command.wait()
            raise
        return subprocess.CompletedProcess(list(arguments), command.wait(), *texts)


_templates: list[Template] = []


@contextmanager
def template() -> Iterator[None]:
    """Commands are forked until the context is left; before and after it there is no `there()`."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            line = [sys.executable, "-m", "tests.acceptance.forked", str(theirs.fileno())]
            process = subprocess.Popen(
                line, cwd=ROOT, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], start_new_session=True
            )
        _templates.append(Template(process, ours, _network()))
        try:
            yield
        finally:
            _templates.clear()
    process.wait()


def there() -> Template | None:
    """None too where this thread has gone to another network, since a command of here would not be there."""
    return _templates[0] if _templates and _templates[0].network == _network() else None


def _network() -> int:
    return Path("/proc/thread-self/ns/net").stat().st_ino


def _read(pipes: Sequence[int], timeout: float) -> list[str]:
    """All of them to their ends; closes them."""
    end, texts = time.monotonic() + timeout, {pipe: bytearray() for pipe in pipes}
    with selectors.DefaultSelector() as waiting:
        for pipe in pipes:
            waiting.register(pipe, selectors.EVENT_READ)
        try:
            while waiting.get_map():
                ready = waiting.select(max(0.0, end - time.monotonic()))
                if not ready:
                    raise subprocess.TimeoutExpired([], timeout)
                for key, _ in ready:
                    some = os.read(key.fd, CHUNK)
                    texts[key.fd] += some
                    if not some:
                        waiting.unregister(key.fd)
        finally:
            for pipe in pipes:
                os.close(pipe)
    # As a text stream reads it.
    return [text.decode().replace("\r\n", "\n") for text in texts.values()]


# -- in the template ---------------------------------------------------------------------------------------------------


def _import_all() -> None:
    for name in PRODUCT:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            # What is run rather than imported: a program, and a migration's environment.
            if not module.name.endswith("__main__") and ".migrations" not in module.name:
                importlib.import_module(module.name)


def _serve(control: socket.socket) -> dict[str, Any]:
    """Returns in each command's own process, with its job; ends where the tests have ended."""
    while True:
        job, descriptors, _, _ = socket.recv_fds(control, JOB_BYTES, 4)
        _reap_wardens()
        if not job:
            sys.exit(0)
        if os.fork() == 0:
            control.close()
            *stdio, told = descriptors
            _ward(stdio, told)
            return dict(json.loads(job))
        for descriptor in descriptors:
            os.close(descriptor)


def _reap_wardens() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _ward(stdio: Sequence[int], told: int) -> None:
    """Returns in the command; the warden ends here."""
    pid = os.fork()
    if pid == 0:
        os.close(told)
        os.setsid()
        for number, descriptor in enumerate(stdio):
            os.dup2(descriptor, number)
            os.close(descriptor)
        return
    for descriptor in (0, 1, 2, *stdio):
        os.close(descriptor)
    with suppress(BrokenPipeError):
        os.write(told, f"{pid}\n".encode())
        _, status = os.waitpid(pid, 0)
        os.write(told, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _new_streams() -> None:
    """The descriptors have changed below those that there are."""
    for name, number, errors in (("stdout", 1, "strict"), ("stderr", 2, "backslashreplace")):
        binary = os.fdopen(number, "wb", closefd=False)
        on_terminal, tells = os.isatty(number), name == "stderr"
        stream = io.TextIOWrapper(binary, errors=errors, line_buffering=on_terminal or tells)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _execute(job: Mapping[str, Any]) -> None:
    module = job["module"]
    sys.argv = [str(Path(sys.executable).parent / module), *job["arguments"]]
    if module == "keymuster":
        importlib.import_module("orchestrator.cli").main()
    else:
        runpy.run_module(module, run_name="__main__", alter_sys=True)


def main() -> None:
    with socket.socket(fileno=int(sys.argv[1])) as control:
        _import_all()
        gc.collect()
        gc.freeze()  # or the first collection in each command would write to every object, and copy it
        job = _serve(control)
    os.environ.clear()
    os.environ.update(job["env"])
    os.chdir(job["cwd"])
    _new_streams()
    try:
        _execute(job)
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        _end(end.code or 0)


def _end(code: int) -> NoReturn:
    """As an interpreter does it, but for taking the imported modules apart, which costs more than most commands."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    gc.collect()
    with suppress(BrokenPipeError):
        sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
