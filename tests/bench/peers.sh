#!/usr/bin/env bash
# Installs what `make bench` measures beside Keymuster: hydra, medusa, ncrack, clustershell, sshpass from Debian (as
# root), and from PyPI parallel-ssh, ssh2-python, aiosmb, smbprotocol, pyinfra and Ansible, each group in an environment
# of its own from a lock file with hashes (tests/peers/environments.py). What cannot be had is named, and its row of the
# benchmark then says so.
set -uo pipefail
cd "$(dirname "$0")/../.."

debian=(hydra medusa ncrack clustershell sshpass)
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >/dev/null || echo "apt-get update failed: what is here already is used" >&2
    for package in "${debian[@]}"; do
        dpkg -s "$package" >/dev/null 2>&1 && continue
        apt-get install -y -qq --no-install-recommends "$package" >/dev/null 2>&1 </dev/null ||
            echo "not installed: $package" >&2
    done
else
    echo "not installed, as that takes root on Debian: ${debian[*]}" >&2
fi

for name in bench_ssh bench_smb bench_pyinfra vault_clients; do
    .venv/bin/python -m tests.bench.engines.install "$name" || echo "not installed: $name.lock" >&2
done
echo "NetExec is on no package index, and so not measured." >&2
