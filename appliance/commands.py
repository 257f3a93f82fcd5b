"""What people tell an appliance to do: `init`, `enroll`, `join`, `serve`, `check`."""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial

import anyio

from appliance.alone import serve_alone
from appliance.checking import guards
from appliance.ending import ended
from appliance.enrolling import Local, enrol, has_enrolled, own_name, read_token
from appliance.hardening import harden
from appliance.listener import Endpoint, ListenError
from appliance.long_lived import BACKEND_OPTIONS
from appliance.settings import Settings, SettingsError, write_template


def run(arguments: argparse.Namespace) -> int:
    """The exit code."""
    return ended(partial(_run, arguments), SettingsError, ListenError)


def _run(arguments: argparse.Namespace) -> None:
    match arguments.command:
        case "init":
            print(write_template(arguments.file, arguments.name, arguments.zone))  # noqa: T201 - the command's output
            said = f"{arguments.file} written; put the line above among the users of your NATS server, fill the file in"
            print(f"{said}, then `keymuster appliance serve {arguments.file}`", file=sys.stderr)  # noqa: T201 - the command's output
        case "enroll":
            _enrol(arguments)
        case "check":
            if arguments.file:
                Settings.load(arguments.file)
            print(json.dumps(guards()))  # noqa: T201 - the command's output
        case "join" | "serve":
            harden()
            if arguments.command == "join" and not has_enrolled(arguments.file):
                _enrol(arguments, arguments.patience)
            metrics = Endpoint.parse(arguments.metrics) if arguments.metrics else None
            settings = Settings.load(arguments.file)
            anyio.run(serve_alone, settings, arguments.fast_path, metrics, backend_options=BACKEND_OPTIONS)


def _enrol(arguments: argparse.Namespace, patience: float = 0.0) -> None:
    """Raises SettingsError, ContractError, CredentialsError, BusError."""
    token = read_token(arguments.token_file)
    name = arguments.name or own_name(token.zone)
    local = Local(name, tuple(arguments.network), str(arguments.host_keys), tuple(arguments.vault))
    zone = anyio.run(enrol, token, arguments.file, local, patience)
    said = f"{arguments.file} written: {name} is an appliance of zone {zone}"
    print(f"{said}; look through it, then `keymuster appliance serve {arguments.file}`", file=sys.stderr)  # noqa: T201 - the command's output
