"""Who waits for an approval, and who goes on: the rules at the head of `approval_watch`."""

from __future__ import annotations

from appliance.contract import CredentialRef, SecretLookup
from orchestrator.approval_watch import ApprovalWatch, Unapproved


def ref(key: str) -> CredentialRef:
    return CredentialRef(vault="V", by=SecretLookup.NAME, key=key)


A, B = ref("a"), ref("b")


def test_only_those_wait_whom_no_other_secret_can_serve() -> None:
    watch: ApprovalWatch[str] = ApprovalWatch()
    assert not watch.parks("early", [A], A), "nobody has been asked"
    watch.waits(A, 1.0)
    assert watch.parks("one", [A], None)
    assert not watch.parks("two", [A, B], None)
    assert not watch.parks("none", [], None)
    assert watch.parks("chosen", [A, B], A), "its target has asked for that one"
    assert not watch.parks("other", [A, B], B)
    assert watch.unapproved() == (Unapproved("V", "a", 1.0, 2),)


def test_with_the_answer_all_of_them_go_on() -> None:
    watch: ApprovalWatch[str] = ApprovalWatch()
    watch.waits(A, 1.0)
    watch.waits(A, 9.0)
    assert watch.unapproved()[0].since == 1.0
    watch.waits(B, 2.0)
    for job in ("one", "two"):
        assert watch.parks(job, [A, B], None)
    assert watch.over(A) == ()
    assert watch.over(B) == ("one", "two"), "the one that was asked for last"
    assert watch.over(B) == ()
    assert (watch.parked, watch.unapproved()) == (0, ())
