"""The table: every reason with its status, its owner, what it means for lock-out and retry, and what to do about it.

Rules, stated here and nowhere else:
1. Connectivity, negotiation, key exchange, host key and our own reasons are *Not Attempted* and carry no 1050xx QID.
   Vault and authentication reasons are *Failed* and carry the technology's QID. Missing privilege is *Passed with an asterisk*.
2. `lockout` says whether a logon that ended so has counted at its directory, as far as anyone can tell from here.
   IF_SUBMITTED is the safe reading of an attempt whose verdict never came: what was sent counts.
3. `transient` reasons may be retried by the orchestrator, and only while nothing that counts towards lock-out was
   submitted. A reason that a human must settle (a refused vault login) is never transient.
4. `breaks` reasons are the directory's own word on the account: they open its breaker without a second look.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from appliance.contract import Technology


class Status(StrEnum):
    """The four statuses of an authentication report."""

    PASSED = "Passed"
    PASSED_LIMITED = "Passed*"
    FAILED = "Failed"
    NOT_ATTEMPTED = "Not Attempted"


class Owner(StrEnum):
    """Who can settle the cause."""

    NETWORK = "network"
    HOST = "host"
    DIRECTORY = "directory"
    VAULT = "vault"
    US = "us"
    NOBODY = "nobody"


class Lockout(StrEnum):
    NO = "no"
    YES = "yes"
    IF_SUBMITTED = "if-submitted"


@dataclass(frozen=True, slots=True)
class Reason:
    code: str
    status: Status
    owner: Owner
    meaning: str
    advice: str
    lockout: Lockout = Lockout.NO
    transient: bool = False
    breaks: bool = False


def _rows() -> list[Reason]:
    p, lim, fail, not_ = Status.PASSED, Status.PASSED_LIMITED, Status.FAILED, Status.NOT_ATTEMPTED
    network, host, directory, vault, us = Owner.NETWORK, Owner.HOST, Owner.DIRECTORY, Owner.VAULT, Owner.US
    yes, sent = Lockout.YES, Lockout.IF_SUBMITTED
    return [
        Reason("PASSED", p, Owner.NOBODY, "The login works and has the expected rights.", "Nothing to do."),
        # -- network: nothing was negotiated --------------------------------------------------------------------------
        Reason("DNS_FAILED", not_, network, "The name does not resolve.",
               "Correct the name in the target list, or the appliance's DNS.", transient=True),
        Reason("DNS_NO_ANSWER", not_, network, "No DNS server has told in time what the name is.",
               "Look at the DNS servers that the appliance asks (/etc/resolv.conf), and at its way to them.", transient=True),
        Reason("HOST_UNREACHABLE", not_, network, "No route to the host, or the host does not answer ARP.",
               "Check routing and that the host is up, from the appliance's network.", transient=True),
        Reason("PORT_CLOSED", not_, network, "The host refuses connections on this port.",
               "Start the service, or correct the record's port.", transient=True),
        Reason("PORT_FILTERED", not_, network, "A firewall rejects the connection.",
               "Allow the appliance's address to this port.", transient=True),
        Reason("TCP_TIMEOUT", not_, network, "The connection was not answered in time.",
               "Check that the host is up and that no firewall drops the appliance's packets.", sent, transient=True),
        Reason("CONNECTION_RESET", not_, network, "The connection was cut before the login began.",
               "Look for a firewall, a connection limit or a crash on the host at this time.", sent, transient=True),
        Reason("SOURCE_ADDRESS", not_, us, "The appliance's source address or ports cannot be used.",
               "Check the appliance's source address and its free ports, and for a target by IPv6 that it has IPv6.", transient=True),
        # -- jump host: the target has not been reached ---------------------------------------------------------------
        Reason("JUMP_UNREACHABLE", not_, network, "The record's jump host cannot be reached.",
               "See the jump host's own reason in the evidence: check its name and port, and the appliance's way to it.",
               transient=True),
        Reason("JUMP_SSH", not_, host, "No SSH session can be agreed on with the record's jump host.",
               "See the jump host's own reason in the evidence; correct the jump host's port or crypto profile."),
        Reason("JUMP_HOST_KEY", not_, host, "The record's jump host shows a key that is not to be trusted.",
               "Check the fingerprint: pin the key (known_hosts of the jump host), or find out who sits in between."),
        Reason("JUMP_REFUSED", not_, vault, "The record's jump host refuses the login.",
               "See the jump host's own reason in the evidence; compare its secret with its account."),
        Reason("JUMP_SKIPPED", not_, us, "Not tried: the login at the record's jump host is stopped, or has just failed.",
               "Fix the cause shown, then `keymuster rerun RUN --reason JUMP_SKIPPED`."),
        Reason("JUMP_FORBIDS", not_, host, "The record's jump host lets nobody through to this target.",
               "Allow the user to forward to it: AllowTcpForwarding and PermitOpen in the jump host's sshd_config."),
        Reason("JUMP_LOST", not_, network, "The connection to the record's jump host was lost.",
               "Look at the jump host, its log and the network in between.", sent, transient=True),
        # -- negotiation ----------------------------------------------------------------------------------------------
        Reason("NOT_SSH", not_, host, "The port answers, but not with SSH.", "Correct the record's port, or exclude the host."),
        Reason("NOT_SMB", not_, host, "The port answers, but not with SMB.", "Correct the record's port, or exclude the host."),
        Reason("BANNER_TIMEOUT", not_, host, "The port is open, but the service says nothing.",
               "Look at the host: its service hangs or is overloaded.", sent, transient=True),
        Reason("SSH_PROTOCOL", not_, host, "The SSH server speaks an unsupported or broken protocol.",
               "Update the SSH server; SSH 1 is not spoken.", sent),
        Reason("SSH_THROTTLED", not_, host, "sshd turned the connection away: too many unauthenticated ones (MaxStartups).",
               "Raise MaxStartups, or lower the campaign's cap per target.", transient=True),
        Reason("SSH_PENALTY", not_, host, "sshd turns this source away for now: a penalty (PerSourcePenalties), or MaxStartups.",
               "Add the appliance to PerSourcePenaltyExemptList; where the host's log says MaxStartups, raise that.",
               transient=True),
        Reason("KEX_TIMEOUT", not_, host, "The key exchange did not end in time.",
               "Look at the host's load.", sent, transient=True),
        Reason("KEX_NO_MATCH", not_, host, "No common SSH algorithm.",
               "Set the record's crypto to the profile that the evidence names, or update the host's SSH server."),
        Reason("HOST_KEY_UNKNOWN", not_, host, "Neither a known key nor a known CA stands for this host's key.",
               "Check the fingerprint and pin the key, or renew the certificate where that is at fault; or use the tofu policy."),
        Reason("HOST_KEY_CHANGED", not_, host, "The host shows another key than before.",
               "Find out whether the host was rebuilt; if so, forget its old key. If not, someone sits in between."),
        Reason("HOST_KEY_REVOKED", not_, host, "The host key, or the CA of its certificate, is revoked.",
               "Give the host a new key; a revoked key in its place may be an attacker's."),
        Reason("SMB1_ONLY", not_, host, "The host speaks SMB 1 only.", "Enable SMB 2 or later on the host."),
        Reason("SIGNING_MISMATCH", not_, host, "Client and host cannot agree on SMB signing.",
               "Allow signed sessions on the host."),
        Reason("ENCRYPTION_REQUIRED", not_, host, "The host demands an SMB encryption that cannot be agreed on.",
               "Allow AES-128-CCM at SMB 3 on the host."),
        Reason("SMB_PROTOCOL", not_, host, "The SMB server breaks the protocol.",
               "Look at the host's SMB service; the evidence holds what it sent.", sent),
        Reason("SESSION_LIMIT", not_, host, "The host has no session left for us.",
               "Close idle sessions on the host; client editions of Windows take about 20.", sent, transient=True),
        Reason("SERVER_BUSY", not_, host, "The host says that it lacks resources.", "Look at the host's load.", sent,
               transient=True),
        # -- vault ----------------------------------------------------------------------------------------------------
        Reason("VAULT_UNREACHABLE", fail, vault, "The vault cannot be reached from the appliance.",
               "Check DNS, firewall and the vault itself from the appliance.", transient=True),
        Reason("VAULT_TIMEOUT", fail, vault, "The vault did not answer in time.", "Look at the vault's load.",
               transient=True),
        Reason("VAULT_TLS", fail, vault, "No TLS with the vault: its certificate, or ours, will not do.",
               "See what was said: correct the vault's CA or pin in the campaign (tls.ca, tls.pin), its certificate, or "
               "the client certificate (tls.client_cert)."),
        Reason("VAULT_LOGIN_REFUSED", fail, vault, "The vault refuses the login of the scan account.",
               "Correct user, password or domain of the vault login and unlock it; it was tried once only."),
        Reason("VAULT_TOKEN_EXPIRED", fail, vault, "The vault ended the session and no new one could be had.",
               "Raise the vault's web service session time-out.", transient=True),
        Reason("VAULT_RATE_LIMITED", fail, vault, "The vault limits its rate, and answered nobody.",
               "Raise the vault's limit for the scanner, or run when others need it less.", transient=True),
        Reason("VAULT_BAD_RESPONSE", fail, vault, "The vault answered something that is no Secret Server answer.",
               "Check the vault's URL; a proxy or login page may be in between.", transient=True),
        Reason("VAULT_ERROR", fail, vault, "The vault reports an internal error.", "Read the vault's own log at this time.",
               transient=True),
        Reason("VAULT_IP_BLOCKED", fail, vault, "The vault refuses the appliance's address.",
               "Add the appliance to the IP restrictions of the vault user."),
        Reason("VAULT_FORBIDDEN", fail, vault, "The vault user lacks a role permission.",
               "Grant View Secret and View Launcher Password."),
        Reason("SECRET_NOT_FOUND", fail, vault, "No secret of that name, or for that machine, that the vault user may see.",
               "Correct the record's secret, or share the secret with the vault user."),
        Reason("SECRET_AMBIGUOUS_NAME", fail, vault, "Several secrets have that name, or are for that machine.",
               "Name the secret by its path or id in the record, or narrow its machine by template or folder."),
        Reason("SECRET_ACCESS_DENIED", fail, vault, "The vault denies access to the secret.",
               "Share the secret (View) with the vault user; a missing secret looks the same."),
        Reason("SECRET_INACTIVE", fail, vault, "The secret has been deleted (is inactive).", "Undelete it, or name another."),
        Reason("SECRET_FIELD_MISSING", fail, vault, "The secret has no password or key where its template should.",
               "Fill the field, or correct the record (private_key)."),
        Reason("SECRET_KEY_UNREADABLE", fail, vault, "The private key in the secret cannot be read.",
               "Store a PEM or OpenSSH private key in the secret; the text says what is there."),
        Reason("SECRET_PASSPHRASE_WRONG", fail, vault, "The passphrase does not open the private key.",
               "Correct the passphrase in the secret."),
        Reason("SECRET_HASH_UNREADABLE", fail, vault, "The record expects an NT hash, and the secret's password is none.",
               "Store 32 hex digits or LM:NT in the secret, or remove nt_hash from the record."),
        Reason("SECRET_NEEDS_APPROVAL", fail, vault, "Access to the secret must be approved.",
               'Approve the request. Where none was filed: set approval = "request" of the vault in the campaign, have access '
               "approved before the run, or exempt the scan account."),
        Reason("SECRET_NEEDS_COMMENT", fail, vault, "The secret asks for a comment or ticket.",
               "Where it wants a ticket, set the vault's ticket (and ticket_system) in the campaign; its comment is sent anyway. "
               "Else exempt the scan account."),
        Reason("SECRET_NEEDS_CHECKOUT", fail, vault, "The secret must be checked out.",
               "Allow check-out for the scan account."),
        Reason("SECRET_DOUBLELOCK", fail, vault, "The secret is double-locked: no scanner can read it.",
               "Remove the double lock, or use another secret."),
        Reason("SECRET_CHECKED_OUT_BY", fail, vault, "Somebody else has checked the secret out.",
               "Wait for the check-in; the vault names the holder.", transient=True),
        Reason("SECRET_RPC_PENDING", fail, vault, "The vault is changing the password.", "Wait for the change to end.",
               transient=True),
        Reason("STALE_IN_VAULT", fail, vault, "The host refuses the vault's password, and so does the vault's heartbeat.",
               "Set the account's password in the vault, or have the vault change it.", yes),
        Reason("ROTATED_MID_SCAN", fail, vault, "The password changed during the scan, and the new one failed too.",
               "Run the campaign again after the rotation.", yes, transient=True),
        # -- authentication -------------------------------------------------------------------------------------------
        Reason("BAD_CREDENTIALS", fail, vault, "The target refuses user name or password.",
               "Compare the secret with the account: wrong password, wrong user or wrong domain.", yes),
        Reason("UNKNOWN_USER", fail, directory, "The account does not exist.", "Correct the record's user name or domain.", yes),
        Reason("ACCOUNT_LOCKED", fail, directory, "The account is locked.", "Unlock it, and find out what locked it.",
               breaks=True),
        Reason("ACCOUNT_DISABLED", fail, directory, "The account is disabled.", "Enable it, or use another.", breaks=True),
        Reason("ACCOUNT_EXPIRED", fail, directory, "The account has expired.", "Extend the account.", breaks=True),
        Reason("ACCOUNT_RESTRICTED", fail, directory, "A policy keeps the account from this logon.",
               "Check Protected Users, blank-password and logon policies.", breaks=True),
        Reason("PASSWORD_EXPIRED", fail, directory, "The password has expired.", "Change it, in the vault too.", breaks=True),
        Reason("PASSWORD_MUST_CHANGE", fail, directory, "The password must be changed before the first logon.",
               "Change it, in the vault too, or clear the flag.", breaks=True),
        Reason("LOGON_HOURS", fail, directory, "The account may not log on at this hour.",
               "Widen the logon hours, or run inside them.", breaks=True),
        Reason("WORKSTATION", fail, directory, "The account may not log on from this workstation.",
               "Allow the appliance's name in the account's workstations."),
        Reason("LOGON_TYPE", fail, directory, "The account may not log on over the network to this host.",
               "Grant the right to access this computer from the network."),
        Reason("TRUST_BROKEN", fail, directory, "The host's trust with its domain is broken.", "Rejoin the host.",
               transient=True),
        Reason("NO_LOGON_SERVERS", fail, directory, "The host finds no domain controller.",
               "Check the host's way to its domain controllers.", transient=True),
        Reason("NETLOGON", fail, directory, "The host's logon service is not ready.", "Start Netlogon on the host.",
               transient=True),
        Reason("AUTH_FIREWALL", fail, directory, "Selective authentication keeps the account out.",
               "Allow the account to authenticate to this host."),
        Reason("SMARTCARD_REQUIRED", fail, directory, "The account must use a smart card.", "Use an account without that flag."),
        Reason("NTLM_DISABLED", fail, host, "The host does not accept NTLM.", "Allow NTLM for the scan account on this host.", sent),
        Reason("CLOCK_SKEW", fail, host, "The clocks of host and directory differ too much.", "Set the clocks."),
        Reason("KRB_SKEW", fail, us, "The clocks of appliance and domain controller differ too much.",
               "Set the appliance's clock: the evidence says by how much."),
        Reason("KRB_REVOKED", fail, directory, "The account is locked, disabled, expired or outside of its logon hours.",
               "Look at the account: the domain controller does not say which.", breaks=True),
        Reason("KRB_REALM", fail, directory, "The domain controller does not serve this realm.",
               "Correct the record's realm or kdc."),
        Reason("KRB_SPN", fail, directory, "The directory knows no such service (SPN).",
               "Give the target the name that the directory has for it (its SPN cifs/NAME or host/NAME)."),
        Reason("KRB_ETYPE", fail, directory, "No common Kerberos encryption type.",
               "Give the account (the evidence says whose) AES keys: allow AES for it, and set its password anew."),
        Reason("KRB_POLICY", fail, directory, "A Kerberos policy refuses the logon.", "Check Protected Users and policies."),
        Reason("KRB_TICKET_REFUSED", fail, host, "The host refuses the ticket; the directory has accepted the password.",
               "Is it the host that its name says? Look for a second account with its SPN, or rejoin it."),
        Reason("KDC_UNREACHABLE", not_, network, "The domain controller cannot be reached.",
               "Open port 88 from the appliance.", transient=True),
        Reason("KDC_PROTOCOL", not_, directory, "The domain controller's answer cannot be read.",
               "Is a domain controller at the record's kdc? The evidence holds what was wrong.", sent),
        Reason("KDC_TIMEOUT", fail, directory, "The password was submitted to the domain controller, and no verdict came in time.",
               "Look at the domain controller's load and log.", sent),
        Reason("KDC_DROPPED", fail, directory, "The domain controller hung up while the password was being judged.",
               "Look at the domain controller's log.", sent),
        Reason("SSH_METHOD_NOT_OFFERED", fail, host, "The host does not offer the login method that the secret holds.",
               "Allow the method in sshd_config, or store a key in the secret."),
        Reason("KEY_REFUSED", fail, host, "The host does not take this public key for the user.",
               "Put the public key into the user's authorized_keys."),
        Reason("SECRET_CERTIFICATE_UNUSABLE", fail, vault, "The user certificate cannot be read, or is not the private key's.",
               "Put the certificate of this key (id_...-cert.pub) into the secret or the record."),
        Reason("CERT_EXPIRED", fail, vault, "The host does not take the user certificate, which is not valid at this time.",
               "Issue a new certificate; if it is valid, set the clocks."),
        Reason("CERT_PRINCIPAL", fail, vault, "The host does not take the user certificate, which does not name the user.",
               "Issue one with the user among its principals, or map them on the host (AuthorizedPrincipalsFile)."),
        Reason("CERT_REFUSED", fail, host, "The host does not take the user certificate.",
               "Trust its authority on the host (TrustedUserCAKeys); look for a revocation or a source-address."),
        Reason("TOO_MANY_AUTH_FAILURES", fail, host, "The host refused the login and allows no further try (MaxAuthTries).",
               "Compare the secret with the account; let a record with fallback keys have fewer.", sent),
        Reason("MFA_REQUIRED", fail, host, "The host asks for a second factor.", "Exempt the scan account."),
        Reason("KBDINT_PROMPT_UNKNOWN", fail, host, "The host asks something that is no password prompt.",
               "The evidence holds the prompt; exempt the scan account from it."),
        Reason("PARTIAL_SUCCESS", fail, host, "The password is right, and the host wants another method too.",
               "Exempt the scan account from the second method."),
        Reason("AUTH_TIMEOUT", fail, host, "The login was submitted, and no verdict came in time.",
               "Look at the host's PAM, directory and DNS delays.", sent),
        Reason("AUTH_DROPPED", fail, host, "The connection was cut while the login was being judged.",
               "Look at the host's log; an expired account looks like this over SSH.", sent),
        Reason("AUTH_REFUSED", fail, host, "The host refuses the logon with a status that the table does not know.",
               "The evidence holds the status; look it up in the host's security log.", sent),
        Reason("GUEST_SESSION", fail, host, "The host let us in as guest: the credential was not accepted.",
               "Correct user or password; disable the guest mapping on the host.", yes),
        Reason("ANONYMOUS_SESSION", fail, host, "The host made an anonymous session: the credential was not used.",
               "Disable anonymous sessions on the host.", sent),
        Reason("AUTH_NOT_REQUIRED", fail, host,
               "The host lets anybody in without a credential, or cannot prove that it has checked one.",
               "Fix the host: the login proves nothing.", sent),
        # -- privilege ------------------------------------------------------------------------------------------------
        Reason("PRIV_SUDO_PASSWORD", lim, host, "sudo asks for a password.",
               "Allow NOPASSWD for the scan account, or give root_delegation a password or secret."),
        Reason("PRIV_NO_SUDO", lim, host, "The user may not use sudo, or the host has none.", "Add the user to sudoers."),
        Reason("PRIV_NOT_ROOT", lim, host, "The commands run, but not with root rights.", "Set up sudo for the scan account."),
        Reason("PRIV_SUDO_REFUSED", lim, vault, "The login works, and sudo refuses the password it was given.",
               "Compare the secret of root_delegation with the account that sudo asks for.", yes),
        Reason("PRIV_SU_REFUSED", lim, vault, "The login works, and su refuses the password, or keeps the user from it.",
               "Compare the secret of root_delegation with root's password; look for pam_wheel on the host.", yes),
        Reason("PRIV_NO_SU", lim, host, "The user may not use su, or the host has none.", "Allow su for the scan account."),
        Reason("PRIV_PROMPT_UNKNOWN", lim, host,
               "sudo or su asks for something else than the password of the expected user; it was not answered.",
               "The evidence holds the question; exempt the scan account from it, or correct root_delegation."),
        Reason("PRIV_NO_SECRET", lim, vault, "The login works, but the secret for root could not be had.",
               "The evidence holds the vault's reason; settle that."),
        Reason("PRIV_NOT_TRIED", lim, us, "The login works; root's password was not sent, to keep its account from being locked.",
               "The evidence holds the cause: an open breaker, a spent budget or a stop; settle that, then rerun."),
        Reason("PRIV_NO_SHELL", lim, host, "The login works, but runs no command.", "Give the user a shell."),
        Reason("PRIV_FORCED_COMMAND", lim, host, "A forced command answers instead of ours.",
               "Remove the forced command for the scan account."),
        Reason("PRIV_TIMEOUT", lim, host, "The login works, but the first command did not end in time.",
               "Look at the host's load and the user's login scripts."),
        Reason("PRIV_CHECK_FAILED", lim, host, "The login works, but its rights could not be determined.",
               "The evidence holds the host's answer; look at its log."),
        Reason("PRIV_NOT_ADMIN", lim, host, "The user is no administrator of the host.",
               "Add it to the Administrators group. A local account that is in it: see PRIV_UAC_FILTERED."),
        Reason("PRIV_UAC_FILTERED", lim, host, "UAC filters the local administrator's token.",
               "Set LocalAccountTokenFilterPolicy, or use a domain account."),
        Reason("PRIV_NO_SERVICES", lim, host, "The user may not open the host's service control manager.",
               "Make it an administrator of the host, or allow it SC_MANAGER_CONNECT over the network."),
        Reason("PRIV_NO_REGISTRY", lim, host, "The user may not read the host's registry over the network.",
               "Make it an administrator of the host, or allow it in the registry key SecurePipeServers\\winreg."),
        Reason("REMOTE_REGISTRY_OFF", lim, host, "The remote registry does not answer.",
               "Let the Remote Registry service start: automatic, or by trigger where Windows knows that."),
        Reason("ADMIN_SHARE_OFF", lim, host, "An administrative share is missing.", "Enable ADMIN$ and C$ on the host."),
        # -- us -------------------------------------------------------------------------------------------------------
        Reason("NO_RECORD", not_, us, "No authentication record serves this target.", "Add the target to a record."),
        Reason("RECORD_CONFLICT", not_, us, "Two records claim this target.", "Let one record serve it."),
        Reason("EXCLUDED", not_, us, "The target is excluded.", "Remove the exclusion."),
        Reason("SKIPPED_BREAKER", not_, us, "Not tried: the account's breaker is open, to keep it from being locked.",
               "Fix the cause shown, then `keymuster rerun RUN --reason SKIPPED_BREAKER`."),
        Reason("LOCKOUT_BUDGET_SPENT", not_, us, "Not tried: the account's failed logons have used up its budget.",
               "Wait until the window has passed, or raise failure_budget if the directory's threshold allows it."),
        Reason("WINDOW_CLOSED", not_, us, "The run ended before this target's turn.", "Resume the run.", transient=True),
        Reason("STOPPED", not_, us, "Not tried: an admin has stopped the account, the secret or the vault.",
               "See `keymuster stops`; after `keymuster allow`: `keymuster rerun RUN --reason STOPPED`."),
        Reason("CANCELLED", not_, us, "Not tried: the run was cancelled before this target had its outcome.",
               "If it is wanted after all: `keymuster rerun RUN --reason CANCELLED`."),
        Reason("APPLIANCE_LOST", not_, us, "The appliance died or was cut off during the attempt.",
               "Look at the appliance's log.", sent, transient=True),
        Reason("NO_PACER", not_, us, "The pacer did not answer, so no password was sent.", "Look at the orchestrator's log.",
               transient=True),
        Reason("PERMIT_WAIT", not_, us, "The account's turn did not come in time.",
               "Raise the record's failure_budget if the directory's threshold allows it.", transient=True),
        Reason("REFUSED_BY_POLICY", not_, us, "The appliance's own policy does not allow this target, vault or host-key policy.",
               "Change the appliance's policy, or the campaign."),
        Reason("OWN_OVERLOAD", not_, us, "The appliance was too busy, or out of file descriptors: that is ours, not the host's.",
               "Lower the appliance's capacity, raise its limit of open files, or add one.", sent, transient=True),
        Reason("INTERNAL", not_, us, "Keymuster met something it does not know.", "Please report it, with the evidence.", sent),
    ]  # fmt: skip


REASONS: dict[str, Reason] = {row.code: row for row in _rows()}
"""Every reason by its code."""


@dataclass(frozen=True, slots=True)
class Qid:
    """A Qualys finding. `certainty` says where number and title come from; severity is ours where it is not confirmed."""

    number: int
    title: str
    kind: str
    severity: int
    certainty: str


QIDS: dict[int, Qid] = {
    q.number: q
    for q in (
        Qid(105015, "Windows Authentication Failed", "IG", 1, "vendor (number, title); severity not confirmed"),
        Qid(105053, "Unix Authentication Failed", "IG", 1, "vendor (number, title); severity not confirmed"),
        Qid(105052, "Windows Scan Account Locked Out", "IG", 1, "third party; severity not confirmed"),
    )
}

_FAILED_QID = {Technology.WINDOWS: 105015, Technology.UNIX: 105053}


def qids(reason: Reason, technology: Technology) -> tuple[Qid, ...]:
    """The findings that a reason stands for, the primary one first; empty for anything but a failed authentication."""
    if reason.status is not Status.FAILED:
        return ()
    primary = QIDS[_FAILED_QID[technology]]
    if technology is Technology.WINDOWS and reason.code == "ACCOUNT_LOCKED":
        return (primary, QIDS[105052])
    return (primary,)


def counts_towards_lockout(reason: Reason, *, submitted: bool) -> bool:
    """Has this logon, as far as anyone can tell, raised the account's failure count?"""
    return submitted and reason.lockout is not Lockout.NO
