"""The installation and the machine under it, as far as they decide how a run goes. No names, no values of variables."""

from __future__ import annotations

import os
import platform
import shutil
import stat
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

_VARIABLES = ("KEYMUSTER_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_", "PYTHON", "NO_COLOR")


def machine_document(state: Path) -> dict[str, Any]:
    """Blocking."""
    return {
        "keymuster": version("keymuster"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "libraries": _libraries(),
        "cpus": os.cpu_count(),
        "memory_mib": _memory() // 2**20,
        "root": os.geteuid() == 0,
        "limits": _limits(),
        "variables_set": sorted(name for name in os.environ if name.upper().startswith(_VARIABLES)),
        "state_directory": {"free_mib": shutil.disk_usage(state).free // 2**20, "files": _files(state)},
    }


def _libraries() -> dict[str, str]:
    found = {}
    for requirement in requires("keymuster") or ():
        name = requirement.partition(";")[0].partition("[")[0].split("=")[0].split(">")[0].split("<")[0].strip()
        if "extra ==" not in requirement:
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                found[name] = "missing"
    return found


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _limits() -> dict[str, list[int]]:
    if sys.platform == "win32":
        return {}
    import resource  # noqa: PLC0415 - does not exist on Windows

    names = ("RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_MEMLOCK", "RLIMIT_AS")
    return {name: list(resource.getrlimit(getattr(resource, name))) for name in names if hasattr(resource, name)}


def _files(state: Path) -> list[dict[str, Any]]:
    found = []
    for path in sorted(state.rglob("*")):
        seen = path.lstat()
        found.append({"name": str(path.relative_to(state)), "bytes": seen.st_size, "mode": stat.filemode(seen.st_mode)})
    return found
