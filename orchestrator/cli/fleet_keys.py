"""Where the key is that a fleet's keys are encrypted under: environment, file or keyring; never argv."""

from __future__ import annotations

import os
from pathlib import Path

from orchestrator.campaign_model import PasswordReference
from orchestrator.cli.errors import BadInput
from orchestrator.cli.secret_references import read_secret
from orchestrator.fleet.errors import FleetError
from orchestrator.fleet.keys import FleetKeys, has_fleet, new_fleet_key, read_keys

KEY, KEY_FILE = "KEYMUSTER_FLEET_KEY", "KEYMUSTER_FLEET_KEY_FILE"
KEYRING = "keymuster/fleet"
BESIDE = "fleet.key"
_WHAT = "fleet key"


def fleet_key(state: Path) -> str:
    """The key: from KEYMUSTER_FLEET_KEY (dropped from the environment at once), the file that KEYMUSTER_FLEET_KEY_FILE
    names, the file that `fleet init` has made in the state directory, or the keyring. Raises BadInput.
    """
    if KEY in os.environ:
        reference = PasswordReference.model_validate({"env": KEY})
    elif named := os.environ.get(KEY_FILE):
        reference = PasswordReference.model_validate({"file": named})
    elif (state / BESIDE).exists():
        reference = PasswordReference.model_validate({"file": str(state / BESIDE)})
    else:
        reference = PasswordReference.model_validate({"keyring": KEYRING})
    try:
        return read_secret(reference, "fleet", _WHAT)
    except BadInput:
        raise BadInput(
            f"the key of the fleet in {state} is not at hand: set {KEY}, or name its file with {KEY_FILE}, or put it "
            f"into the keyring as {KEYRING}"
        ) from None


def keys_in(state: Path) -> tuple[FleetKeys, str]:
    """The fleet's keys, and the key that they are encrypted under, which can be had once. Raises BadInput."""
    try:
        key = fleet_key(state) if has_fleet(state) else ""
        return read_keys(state, key), key
    except FleetError as error:
        raise BadInput(str(error)) from None


def key_for_a_new_fleet(state: Path) -> tuple[str, Path | None]:
    """A key that was given by environment or file, or a new one and the file in the state directory that it is in now.
    Raises BadInput.
    """
    if KEY in os.environ or os.environ.get(KEY_FILE):
        return fleet_key(state), None
    key, path = new_fleet_key(), state / BESIDE
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(f"{key}\n")
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror}") from None
    return key, path
