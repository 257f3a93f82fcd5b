#!/usr/bin/env bash
# Installs the real servers that the tests log in to: OpenSSH's sshd, sudo, shells, Samba's smbd and domain controller,
# smbclient;
# Chromium, which opens the HTML report; curl, which runs the examples of docs/lab-vault.md; and PostgreSQL, which a store
# may lie in.
# As root on Debian and its kin it does so by itself; elsewhere it says what is missing and lets the tests go on:
# those marked `peer` then fail with the same words. The packages' own services are not started.
set -euo pipefail

missing=()
need() { # command, package
    PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null || missing+=("$2")
}
need_file() { # pattern, package
    compgen -G "$1" >/dev/null || missing+=("$2")
}
need sshd openssh-server
need ssh-keygen openssh-client
need sudo sudo
need busybox busybox
need csh csh
need smbd samba
need smbpasswd samba-common-bin
need samba samba
need samba-tool samba-common-bin
# What a domain controller is made of besides; none of it is a command.
need_file '/usr/lib/*/samba/ldb/samba_dsdb.so' samba-dsdb-modules
need_file '/usr/lib/*/samba/vfs/acl_xattr.so' samba-vfs-modules
need_file /usr/share/samba/setup/ad-schema samba-ad-provision
need_file '/usr/lib/python3*/*-packages/markdown' python3-markdown
need winbindd winbind
need ip iproute2
need smbclient smbclient
need chromium chromium
need curl curl
need_file '/usr/lib/postgresql/*/bin/postgres' postgresql

# A second OpenSSH, of 9.8 or later, unpacked beside the tests. Where it cannot be had, the tests that need it fail with
# the words of a missing server; all others run.
newer() {
    [ -x .venv-peers/openssh/usr/sbin/sshd ] || tests/peers/newer_openssh.sh "$PWD/.venv-peers/openssh" || true
}
# promtool, likewise; the tests of the alert rules are skipped without it.
promtool() {
    type -P promtool >/dev/null || [ -x .venv-peers/prometheus/promtool ] || tests/peers/promtool.sh "$PWD/.venv-peers/prometheus" || true
}
cd "$(dirname "$0")/../.."
if [ ${#missing[@]} -eq 0 ]; then
    newer
    promtool
    exit 0
fi

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "Missing for the tests marked 'peer': ${missing[*]} (Debian's package names). They will fail without." >&2
    echo "Install them, or run 'make test' as root on Debian, or leave those tests out: make check" >&2
    exit 0
fi

# Debian's way to keep a package from starting its service: a policy that forbids it, for as long as this script runs.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi

log=$(mktemp)
echo "Installing ${missing[*]} for the tests..." >&2
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
    cat "$log" >&2
    rm -f "$log"
    echo "The packages could not be installed: see above." >&2
    exit 1
fi
rm -f "$log"
newer
promtool
