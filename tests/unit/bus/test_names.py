from __future__ import annotations

import pytest

from appliance.bus import subjects
from appliance.bus.pull import delivery
from appliance.bus.users import appliance_permissions, new_user


@pytest.mark.parametrize("name", ["", "a.b", "a b", "*", ">", "a>", "ä", "a\n", "x" * 65, "$JS"])
def test_a_name_that_is_no_token_is_refused(name: str) -> None:
    for make in (
        subjects.jobs_stream,
        subjects.vault,
        subjects.control,
        lambda n: subjects.jobs("z", n),
        lambda n: subjects.outcome("z", n, "r"),
        lambda n: subjects.heartbeat(n, "a"),
        lambda n: appliance_permissions(n, "a"),
        lambda n: appliance_permissions("z", n),
    ):
        with pytest.raises(ValueError, match="use 1 to 64"):
            make(name)


def test_a_subject_names_its_sender() -> None:
    assert subjects.sender(subjects.outcome("z", "alpha", "r1")) == "alpha"
    assert subjects.sender(subjects.permit_ask("z", "alpha")) == "alpha"


@pytest.mark.parametrize(
    ("reply", "consumer", "numbers"),
    [
        ("$JS.ACK.JOBS_z.r1.2.17.5.1795477340239587365.3", "r1", (2, 17, 5, 3)),
        ("$JS.ACK._.hash.JOBS_z.r1.1.4.9.1795477340239587365.0", "r1", (1, 4, 9, 0)),
        ("$JS.ACK.hub.hash.JOBS_z.r1.1.4.9.1795477340239587365.0.rnd", "r1", (1, 4, 9, 0)),
    ],
)
def test_a_delivery_is_read_in_each_form(reply: str, consumer: str, numbers: tuple[int, int, int, int]) -> None:
    read = delivery(reply)
    assert read is not None
    assert (read.consumer, (read.count, read.seq, read.consumer_seq, read.pending)) == (consumer, numbers)


@pytest.mark.parametrize("reply", ["", "_INBOX.a.b", "$JS.FC.x"])
def test_what_no_consumer_delivered_is_told_apart(reply: str) -> None:
    assert delivery(reply) is None


def test_users_differ_and_hide_their_seed() -> None:
    one, two = new_user(), new_user()
    assert one.public != two.public
    assert one.seed.startswith("SU")
    assert one.seed not in repr(one)
