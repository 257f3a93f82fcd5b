"""What a long run meets in a short one: sessions that live for two seconds, and passwords that change all the time."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.reading import SECOND_LOOK_S
from tests.acceptance.chaos.estates import AMPLE, HOSTS, Estate, estate
from tests.acceptance.chaos.processes import until
from tests.acceptance.chaos.runs import Command

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

EVERY_S = 0.2
LAG_S = 0.1
AT_ONCE = 5
MIDDLE = 120
SECRET = "corp-scan"
Start = Callable[..., Command]
OWN = 'secret = "unix-{address}"\naccounts = "local"'


def test_sessions_that_live_for_two_seconds(start: Start, tmp_path: Path) -> None:
    """Renewed before they end, or when one is refused on its way: no target hears of it, and nobody is locked.

    Hosts take a second to judge a password, and few are asked at once, so that no machine is done before a token is.
    """
    with estate(tmp_path, 'account = "local"\nfault = "slow_login"', "token_lifetime = 2") as hosts:
        command = start("run", str(hosts.campaign(record=OWN, pace="capacity = 24", deadline=AMPLE)))
        assert command.wait() == 0, command.said
        report = command.report()
        report.is_exact()
        assert report.reasons == {"PASSED": HOSTS}
        assert hosts.most_logons_on_a_host() == 1
        seen = hosts.metrics()["vault"]
        assert (seen["failed_grants"], seen["grants"] >= 3) == (0, True)


@contextmanager
def rotating(hosts: Estate, first: str, second: str) -> Iterator[dict[str, float]]:
    """Every EVERY_S the passwords of some hosts change on one side, and LAG_S later on the other; each host's once.

    Yields by address how long the other side lagged behind in truth, at most: a busy machine makes it more.
    """
    over = threading.Event()
    addresses = [host["address"] for host in hosts.truth]
    lags: dict[str, float] = {}

    def rotate() -> None:
        for start in range(0, len(addresses), AT_ONCE):
            some = addresses[start : start + AT_ONCE]
            began = {}
            for address in some:
                began[address] = time.monotonic()
                hosts.rotate(f"unix-{address}", first)
            over.wait(LAG_S)
            for address in some:
                hosts.rotate(f"unix-{address}", second)
                lags[address] = time.monotonic() - began[address]
            if over.wait(EVERY_S - LAG_S):
                return

    thread = threading.Thread(target=rotate, name="rotation")
    thread.start()
    try:
        yield lags
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize(("first", "second"), [("vault", "hosts"), ("hosts", "vault")])
def test_passwords_that_change_all_the_time(start: Start, tmp_path: Path, first: str, second: str) -> None:
    """Hosts take a second to judge a password, so that many have another one by then. Each of those is tried once more
    and gets in, and none has two failures; but where the other side had not followed when the secret was looked at
    again.
    """
    with estate(tmp_path, 'account = "local"\nfault = "slow_login"') as hosts:
        command = start("run", str(hosts.campaign(record=OWN, deadline=AMPLE)))
        until(lambda: hosts.logons() > 0 or command.process.poll() is not None, "the first logons")
        with rotating(hosts, first, second) as lags:
            assert command.wait() in (0, 1), command.said
        report = command.report()
        report.is_exact()
        late = {address for address, lag in lags.items() if lag >= SECOND_LOOK_S}
        told = {target["target"]: target["reason"] for target in report.document["targets"]}
        wrong = {address: reason for address, reason in told.items() if reason != "PASSED"}
        assert wrong.keys() <= late, wrong
        assert set(wrong.values()) <= {"BAD_CREDENTIALS"}
        seen = hosts.metrics()["hosts"]
        logons = {address: tuple(logon["ok"] for logon in host["logons"]) for address, host in seen.items()}
        assert {tries for address, tries in logons.items() if address not in late} <= {(True,), (False, True)}
        assert any(False in tries for tries in logons.values()), "it shows something only where somebody was hit"


def test_one_view_serves_all_and_a_change_is_noticed(start: Start, tmp_path: Path) -> None:
    """Each scan process views the secret once, and again for each host that has refused it."""
    with estate(tmp_path, f'account = "local"\nsecret = "shared"\nsecret_name = "{SECRET}"') as hosts:
        record = f'secret = "{SECRET}"\naccounts = "local"'
        command = start(
            "run", str(hosts.campaign(record=record, vault='fetch = "shared"\nmax_age = "10m"', deadline=AMPLE))
        )
        until(lambda: hosts.logons() >= MIDDLE or command.process.poll() is not None, "the middle of the run")
        before = hosts.metrics()["vault"]["views"]
        hosts.rotate(SECRET, "both")
        assert command.wait() == 0, command.said
        report = command.report()
        report.is_exact()
        assert report.reasons == {"PASSED": HOSTS}
        seen = hosts.metrics()
        failed = [account["failed"] for account in seen["accounts"].values()]
        processes = os.cpu_count() or 1
        assert 1 <= before <= processes
        assert max(failed) == 1
        # One for the second look, one for the attempt that follows. A process may have begun after the count of before.
        assert seen["vault"]["views"] <= processes + 2 * sum(failed)
