"""What crosses the boundary between orchestrator and appliance. Frozen, typed, versioned; never a secret.

Every message is one `Wire` model with a version. An unknown version or field is refused (`ContractError`), so two
releases that disagree say so at once instead of dropping what they don't know. Times are Unix seconds (float, UTC),
durations are seconds unless a name ends in `_ms`.

**Versions.** A message is written in the lowest contract version that can express it: its `v` is the version in which
its kind took the form that it has, so that what did not change is read by older releases as ever. An appliance says in
its heartbeat which versions it reads. All jobs of a run are of one version, the lowest that can express them
(`RunPlan.contract`), and the run's notice is written in it: an appliance that does not read that version cannot read
the notice, so it starts no scan process for the run and pulls none of its jobs, whatever its release; nor does it count
as capacity for the run. Orchestrators are upgraded first, then appliances. No job of this release needs more than
version 1; version 2 is the heartbeat's and the zone orders'.

The appliance reports *evidence*: the phase in which an attempt ended and the signal that ended it. What that means
(reason, status, QID) is decided by `classify` and `reasons` on the orchestrator's side, and can be decided again later.
"""

from __future__ import annotations

from appliance.contract.enrolment import ZONE, EnrolmentAnswer, EnrolmentRequest, EnrolmentToken
from appliance.contract.evidence import (
    CUT,
    DEADLINE,
    NO_DESCRIPTOR,
    OK,
    OUT_OF_SYNC,
    Deferred,
    Evidence,
    Failure,
    Outcome,
    PhaseTime,
    Report,
    Reread,
    Signal,
    SignalKind,
    View,
    decode_report,
    encode_report,
    kerberos_error,
    named,
    ntstatus,
    raised,
)
from appliance.contract.fleet import (
    Heartbeat,
    RunNotice,
    ZoneOrders,
    capacity_each,
    processes_for,
)
from appliance.contract.hosts import is_host
from appliance.contract.jobs import (
    HostAuthority,
    Job,
    Target,
)
from appliance.contract.logins import (
    AccessTerms,
    Account,
    Candidate,
    CredentialRef,
    CryptoProfile,
    Fallback,
    HostKeyPolicy,
    Jump,
    KdcPlace,
    KerberosTerms,
    Part,
    RootBy,
    RootPassword,
    SecretLookup,
    Selection,
    Ticket,
    account_key,
)
from appliance.contract.permits import (
    PermitAnswer,
    PermitAsk,
    PermitRelease,
    PermitRequest,
    PermitVerdict,
)
from appliance.contract.wire import (
    OLDEST,
    PEER_TEXT_LIMIT,
    VERSION,
    ContractError,
    Phase,
    Technology,
    Wire,
    canonical,
    peer_text,
)

__all__ = [
    "CUT",
    "DEADLINE",
    "NO_DESCRIPTOR",
    "OK",
    "OLDEST",
    "OUT_OF_SYNC",
    "PEER_TEXT_LIMIT",
    "VERSION",
    "ZONE",
    "AccessTerms",
    "Account",
    "Candidate",
    "ContractError",
    "CredentialRef",
    "CryptoProfile",
    "Deferred",
    "EnrolmentAnswer",
    "EnrolmentRequest",
    "EnrolmentToken",
    "Evidence",
    "Failure",
    "Fallback",
    "Heartbeat",
    "HostAuthority",
    "HostKeyPolicy",
    "Job",
    "Jump",
    "KdcPlace",
    "KerberosTerms",
    "Outcome",
    "Part",
    "PermitAnswer",
    "PermitAsk",
    "PermitRelease",
    "PermitRequest",
    "PermitVerdict",
    "Phase",
    "PhaseTime",
    "Report",
    "Reread",
    "RootBy",
    "RootPassword",
    "RunNotice",
    "SecretLookup",
    "Selection",
    "Signal",
    "SignalKind",
    "Target",
    "Technology",
    "Ticket",
    "View",
    "Wire",
    "ZoneOrders",
    "account_key",
    "canonical",
    "capacity_each",
    "decode_report",
    "encode_report",
    "is_host",
    "kerberos_error",
    "named",
    "ntstatus",
    "peer_text",
    "processes_for",
    "raised",
]
