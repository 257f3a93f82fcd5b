"""What each measure of the fast paths saves: `python -m tests.bench.engines.ablation KIND PORT [LEFT_OUT]`, hosts on
standard input. Prints CPU as `client` does, for a fast path that lacks the one measure.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from asyncssh.logging import logger

from appliance.login import smb_fast, ssh_fast
from appliance.login.ssh_connection import options
from tests.bench.engines.client import Client, Kind
from tests.bench.engines.measure import hosts, measured

Fast = ssh_fast.FastConnection


def _plain(fast: type, *names: str) -> Callable[[], None]:
    """The methods of these names are its base's again."""

    def undo() -> None:
        for name in names:
            delattr(fast, name)

    return undo


def _with_loggers() -> None:
    made: Callable[..., None] = Fast.__init__

    def make(self: Any, *arguments: Any) -> None:
        made(self, *arguments)
        self._logger = logger.get_child(context="conn")

    Fast.__init__ = make  # type: ignore[method-assign,assignment]
    _plain(Fast, "log_sent_packet", "log_received_packet")()


def _options_each_time() -> None:
    ssh_fast.fast_options = options


_SESSION = smb_fast.FastSmbSession
SSH: Mapping[str, Callable[[], None]] = {
    "options built once": _options_each_time,
    "no log calls": _with_loggers,
    "one write a turn": _plain(Fast, "_send", "data_received"),
    "no fillers": _plain(Fast, "send_packet"),
}
SMB: Mapping[str, Callable[[], None]] = {
    "the SMB 2 header": _plain(_SESSION, "SMB_PACKET", "read_packet"),
    "NEGOTIATE, SESSION_SETUP": _plain(_SESSION, "negotiateSession", "processContextList", "set_up", "read_set_up"),
    "NTLM": _plain(_SESSION, "ntlm_offer", "target_info", "ntlm_answer"),
    "CMAC by OpenSSL": _plain(_SESSION, "signature"),
}


def main() -> None:
    kind, port = Kind(sys.argv[1]), int(sys.argv[2])
    for left_out in sys.argv[3:]:
        (SSH if kind is Kind.SSH else SMB)[left_out]()
    measured(Client(kind, port, 64, fast=True, uvloop=True).run, hosts())


if __name__ == "__main__":
    main()
