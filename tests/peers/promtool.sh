#!/usr/bin/env bash
# usage: promtool.sh DIRECTORY
#
# Unpacks Debian's promtool into DIRECTORY, which judges our alert rules. The package is not installed: its daemon is not
# wanted. It comes from the archive that this machine's apt is set up for; exit 1 says what is missing.
set -euo pipefail

root=${1:?usage: promtool.sh DIRECTORY}

fail() {
    echo "No promtool for the tests of the alert rules: $*" >&2
    exit 1
}

for command in apt-get dpkg-deb; do
    command -v "$command" >/dev/null || fail "this machine has no $command; install Prometheus's promtool by hand."
done
mkdir -p "$(dirname "$root")"
work=$(mktemp -d "$root.XXXXXX")
trap 'rm -rf "$work"' EXIT
chmod 755 "$work" # apt downloads as a user of its own, where it can
said=$work/said
(cd "$work" && apt-get download -qq prometheus) >"$said" 2>&1 </dev/null || fail "$(head -n 3 "$said")"
dpkg-deb -x "$work"/prometheus_*.deb "$work/new"
mkdir -p "$root"
mv "$work/new/usr/bin/promtool" "$root/promtool"
