"""What is changed, and which tests should notice.

The tests must hold the classification by themselves. docs/reasons.md's own test is no judge: the page is made from the
table, and whoever changes a row makes it anew.
"""

from __future__ import annotations

from pathlib import Path

from tests.mutation.judge import ALL, Target
from tests.mutation.mutants import alternatives, branches, codes, constants, rows
from tests.mutation.tables import cells, most_alike, read, reason_rows

ROOT = Path(__file__).parents[2]

_REASONS = read(ROOT / "appliance/reasons.py")["REASONS"]
_CLASSIFY = read(ROOT / "appliance/classify.py")
_ALIKE = most_alike(_REASONS)
_CODES = codes(_ALIKE)

_SSH = (
    "tests/unit/login/test_ssh.py",
    "tests/unit/login/test_ssh_causes.py",
    "tests/unit/login/test_simulated_hosts.py",
)

TARGETS = (
    Target(
        "appliance/classify.py",
        (
            (_CODES, ALL),
            (rows, ALL),
            (cells(_CLASSIFY, _ALIKE, "_EXCEPTIONS", "_LIBRARIES"), ALL),
            (branches, ALL),
        ),
        ("tests/unit/test_classify_rows.py", "tests/unit/test_classify_total.py"),
    ),
    Target(
        "appliance/reasons.py",
        (
            (_CODES, ALL),
            (rows, ALL),
            (reason_rows(_REASONS), ALL),
            (branches, ALL),
            (constants, ("Status", "Owner", "Lockout", "QIDS", "_FAILED_QID")),
        ),
        ("tests/unit/test_reason_rows.py", "tests/test_reasons.py"),
    ),
    Target(
        "orchestrator/score.py",
        ((_CODES, ALL), (rows, ALL), (branches, ALL)),
        ("tests/unit/orchestrator/test_score.py",),
    ),
    Target(
        "appliance/vault/failures.py",
        (
            (_CODES, ALL),
            (rows, ("STATES", "_ERROR_CODES", "_STATUSES", "is_about_the_secret", "login_refusal")),
            (branches, ("wants_new_token", "is_about_the_secret", "login_refusal", "_reason", "_names_an_address")),
        ),
        ("tests/unit/vault/test_vault_reasons.py", "tests/unit/vault/test_vault_answers.py"),
    ),
    Target(
        "appliance/vault/answers.py",
        ((_CODES, ALL), (rows, ("read_state",)), (branches, ("read_state", "read_secret"))),
        ("tests/unit/vault/test_vault_reasons.py", "tests/unit/vault/test_vault_answers.py"),
    ),
    Target(
        "appliance/vault/signs.py",
        ((_CODES, ALL), (branches, ("translated", "worth_repeating"))),
        ("tests/unit/vault/test_vault_reasons.py", "tests/unit/vault/test_vault_exchange.py"),
    ),
    Target(
        "appliance/vault/exchange.py",
        ((_CODES, ALL),),
        ("tests/unit/vault/test_vault_reasons.py", "tests/unit/vault/test_vault_exchange.py"),
    ),
    Target("appliance/vault/trip.py", ((_CODES, ALL),), ("tests/unit/vault/test_vault_exchange.py",)),
    Target("appliance/vault/secret_server.py", ((_CODES, ALL),), ("tests/unit/vault/test_vault_source.py",)),
    Target(
        "appliance/login/ssh_preface.py",
        ((_CODES, ALL), (rows, ALL), (branches, ALL)),
        ("tests/unit/login/test_ssh_preface.py",),
    ),
    Target(
        "appliance/login/ssh_prompts.py",
        ((_CODES, ALL), (alternatives, ALL), (branches, ALL)),
        ("tests/unit/login/test_ssh_prompts.py",),
    ),
    Target(
        "appliance/login/privilege.py",
        ((_CODES, ALL), (rows, ALL), (alternatives, ALL), (branches, ALL)),
        ("tests/unit/login/test_privilege.py",),
    ),
    Target(
        "appliance/login/dial.py",
        ((_CODES, ALL), (branches, ("os_error",))),
        ("tests/unit/login/test_dial.py",),
    ),
    Target(
        "appliance/login/ssh.py",
        ((_CODES, ALL), (branches, ("SshLogin._cause", "_signal"))),
        _SSH,
    ),
    Target(
        "appliance/login/ssh_key.py",
        ((_CODES, ALL), (branches, ALL)),
        ("tests/unit/login/test_ssh_key.py",),
    ),
    Target(
        "appliance/login/ssh_witness.py",
        (
            (_CODES, ALL),
            (branches, ("Witness.host_key_shown", "Witness.methods_seen", "Witness.account_state")),
        ),
        _SSH,
    ),
    Target("appliance/login/ssh_connection.py", ((_CODES, ALL),), ("tests/unit/login/test_greet.py",)),
    Target(
        "appliance/login/smb.py",
        ((_CODES, ALL), (branches, ("_SmbLogin.authenticate", "_SmbLogin.privileges", "_SmbLogin._call"))),
        (
            "tests/unit/login/test_smb_causes.py",
            "tests/unit/login/test_greet.py",
            "tests/unit/login/test_simulated_hosts.py",
        ),
    ),
)

_NO_ERRNO = "no errno is None: the question is there for the type checker"
EQUIVALENT = {
    "appliance/login/dial.py os_error: error.errno is not None -> True": _NO_ERRNO,
    "appliance/login/dial.py os_error: error.errno is not None and error.errno in errno.errorcode and (not..., "
    "without error.errno is not None": _NO_ERRNO,
    "appliance/vault/signs.py translated: isinstance(number, int) -> True": _NO_ERRNO,
}
"""Mutants that no test can tell from the module, by name, each with its reason."""
