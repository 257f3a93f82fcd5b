"""`[timeline]` of an estate file: what happens when, and how it is made to happen.

[timeline]
begins = "first-logon"
[[timeline.events]]
at = "30s"
rotate = "unix-shared-1"
[[timeline.events]]
at = "60s"
vault = ["down"]
lasts = "20s"
[[timeline.events]]
at = "90s"
silent = "127.16.4.0/24"

An event is an order as `control` takes it, given at its time. What `lasts` is over then: what the order has brought is
taken back, and no more than that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import Field, model_validator

from targets.faults import SecretState
from targets.parts import Network, NetworkText, Part, Seconds
from targets.vault_spec import VaultFaultName, Where
from targets.vault_weather import WeatherSpec

_ORDERS = ("rotate", "vault", "secrets", "weather", "silent")
_MAY_LAST = ("vault", "secrets", "silent")


class Begins(StrEnum):
    START = "start"
    """With the lab."""
    FIRST_LOGON = "first-logon"
    """When a host has judged a login for the first time."""
    ORDER = "order"
    """At `POST /timeline`."""


class EventSpec(Part):
    at: Seconds
    rotate: Annotated[str, Field(min_length=1)] | None = None
    """A secret's name."""
    where: Where = Where.BOTH
    """Of `rotate`."""
    vault: tuple[VaultFaultName, ...] = ()
    """Faults that the vault has from now on, besides those that it has."""
    secrets: dict[str, SecretState] = Field(default_factory=dict)
    """States of secrets, by name."""
    weather: WeatherSpec | None = None
    silent: NetworkText | None = None
    """Its hosts take connections, and say nothing."""
    lasts: Annotated[Seconds, Field(gt=0)] | None = None
    """Not given: to the end."""

    @property
    def order(self) -> str:
        """Which of the orders it is."""
        return next(name for name in _ORDERS if name in self.model_fields_set)

    @model_validator(mode="after")
    def _one_order(self) -> Self:
        given = [name for name in _ORDERS if name in self.model_fields_set]
        if len(given) != 1 or getattr(self, given[0]) in (None, (), {}):
            raise ValueError(f"an event is exactly one of {', '.join(_ORDERS)}")
        if "where" in self.model_fields_set and given != ["rotate"]:
            raise ValueError("`where` is for `rotate`")
        if self.lasts is not None and given[0] not in _MAY_LAST:
            raise ValueError(f"`lasts` is for {', '.join(_MAY_LAST)}: {given[0]} is not taken back")
        return self


class TimelineSpec(Part):
    begins: Begins = Begins.START
    events: tuple[EventSpec, ...] = ()


class Orders(Protocol):
    """What a timeline orders: a `World`."""

    def rotate(self, secret: str, where: Where) -> Any: ...

    def add_vault_faults(self, names: frozenset[str]) -> Callable[[], None]:
        """The way to take back those that it has not had before."""
        ...

    def order_secret_states(self, states: Mapping[str, SecretState]) -> Callable[[], None]:
        """The way back to the states before."""
        ...

    def order_weather(self, weather: WeatherSpec) -> None: ...

    def silence(self, network: Network, seconds: float | None) -> None: ...


class Timeline:
    """Runs in the loop in which it is begun; once. `end` it before that loop ends."""

    def __init__(self, spec: TimelineSpec, orders: Orders) -> None:
        self.spec = spec
        self._orders = orders
        self._timers: list[asyncio.TimerHandle] = []
        self._began: float | None = None
        self._done: set[int] = set()

    def begin(self) -> bool:
        """False: it has begun already."""
        if self._began is not None:
            return False
        loop = asyncio.get_running_loop()
        self._began = loop.time()
        for number, event in enumerate(self.spec.events):
            self._timers.append(loop.call_at(self._began + event.at, self._happen, number, event))
        return True

    def end(self) -> None:
        for timer in self._timers:
            timer.cancel()

    def shown(self) -> dict[str, Any]:
        """As JSON: `begins`, `age` in seconds (null: it has not begun), `events` in the file's order, each with its
        `state`: `waits` or `done`.
        """
        age = None if self._began is None else asyncio.get_running_loop().time() - self._began
        events = [
            {**event.model_dump(mode="json", exclude_unset=True), "state": self._state(number)}
            for number, event in enumerate(self.spec.events)
        ]
        return {"begins": self.spec.begins, "age": age, "events": events}

    def _state(self, number: int) -> Literal["waits", "done"]:
        return "done" if number in self._done else "waits"

    def _happen(self, number: int, event: EventSpec) -> None:
        self._done.add(number)
        back: Callable[[], None] | None = None
        match event.order:
            case "rotate":
                assert event.rotate is not None  # noqa: S101 - by `order`
                self._orders.rotate(event.rotate, event.where)
            case "vault":
                back = self._orders.add_vault_faults(frozenset(event.vault))
            case "secrets":
                back = self._orders.order_secret_states(event.secrets)
            case "weather":
                self._orders.order_weather(event.weather or WeatherSpec())
            case "silent":
                assert event.silent is not None  # noqa: S101 - by `order`
                self._orders.silence(event.silent, event.lasts)
        if back is not None and event.lasts is not None:
            self._timers.append(asyncio.get_running_loop().call_later(event.lasts, back))
