"""What a command was asked: plain values, so that parsing a command line loads nothing else of ours."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from platformdirs import user_state_path

from orchestrator.cli.store_address import StoreAddress
from orchestrator.inventory.found import InventoryFormat


class Format(StrEnum):
    """How a report is written."""

    TABLE = "table"
    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"
    HTML = "html"


class Preset(StrEnum):
    """Kinds of simulated estates."""

    SMALL = "small"
    """A handful of hosts with the faults that everybody meets."""
    ENTERPRISE = "enterprise"
    """Several systems, host and directory accounts; one host in twenty has a fault, any of them."""
    HOSTILE = "hostile"
    """Every fault, on one host as often as on another, and accounts of a directory that no login survives."""
    DOMAIN = "domain"
    """Accounts of directories alone, some of them in a state that no login survives."""
    WAN = "wan"
    """Branches, other continents and a satellite: logins take from a quarter of a second to four seconds longer."""


@dataclass(frozen=True, slots=True)
class From:
    """Lists that targets are taken from."""

    files: tuple[Path, ...] = ()
    """`-` is stdin."""
    form: InventoryFormat | None = None
    """None: told by the content."""
    skip_refused: bool = False
    resolve: bool = False


@dataclass(frozen=True, slots=True)
class Home:
    """The state directory, and the store if it is another one than the file in it."""

    state: Path
    store: StoreAddress | None = None

    @property
    def kept_in(self) -> str:
        """Where the store is, without a password; empty for the file in the directory."""
        return self.store.where if self.store else ""


@dataclass(frozen=True, slots=True)
class Where:
    """State directory and store, and the bus if it is the user's own."""

    home: Home
    nats: str | None = None
    nats_seed: Path | None = None
    nats_ca: Path | None = None
    fast_path: bool = True
    """Of our own appliance's logins (docs/performance.md)."""

    @property
    def state(self) -> Path:
        return self.home.state


@dataclass(frozen=True, slots=True)
class Show:
    """How a run is shown while it goes on, and reported when it is over."""

    form: Format
    output: Path | None
    progress: bool


@dataclass(frozen=True, slots=True)
class Which:
    """The part of a run that a rerun takes."""

    failed: bool
    unreached: bool
    reasons: tuple[str, ...]

    @property
    def nothing(self) -> bool:
        return not (self.failed or self.unreached or self.reasons)


@dataclass(frozen=True, slots=True)
class Sizing:
    """What a run's capacity is asked for."""

    appliances: int | None
    """None: the run's own, on this machine."""
    within: str | None
    like: str | None
    """The run whose times are taken; None: the campaign's latest."""


def home(state: Path | None, store: StoreAddress | None) -> Home:
    return Home(state if state is not None else user_state_path("keymuster"), store)
