#!/usr/bin/env bash
# usage: newer_openssh.sh DIRECTORY
#
# Unpacks an OpenSSH server of 9.8 or later into DIRECTORY, which then is the root of a small system: sshd, the libraries
# and PAM modules that it was built with, a shell and the core utilities. Nothing of it is installed on this machine.
# It comes from the Debian archive that this machine's apt is set up for, of the release below, whose signature apt
# checks by Debian's keys. Needs root, apt and Debian's keyring; exit 1 says what is missing.
set -euo pipefail

release=trixie
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
root=${1:?usage: newer_openssh.sh DIRECTORY}

fail() {
    echo "No OpenSSH of 9.8 or later for the tests: $*" >&2
    exit 1
}

[ "$(id -u)" -eq 0 ] || fail "it takes root to unpack one."
command -v apt-get >/dev/null || fail "it is taken from Debian's archive, and this machine has no apt-get."
[ -r "$keyring" ] || fail "$keyring is missing; install debian-archive-keyring."
# shellcheck disable=SC2016 # a format of apt's, not a variable
archive=$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' |
    sed -n 's/^Debian Debian //p' | head -n 1)
archive=${archive:-http://deb.debian.org/debian/}

mkdir -p "$(dirname "$root")"
work=$(mktemp -d "$root.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/lists/partial "$work"/cache/archives/partial "$work"/new/{usr/{bin,sbin,lib,lib64},etc,home,peer,proc,dev,run,tmp,var/log}
: >"$work/status"
echo "deb [signed-by=$keyring] $archive $release main" >"$work/sources.list"
own=(-o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists"
    -o "Dir::State::status=$work/status" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root -qq)

said=$work/said
{ apt-get "${own[@]}" --error-on=any update &&
    apt-get "${own[@]}" -y --no-install-recommends --download-only install openssh-server coreutils dash; } \
    >"$said" 2>&1 </dev/null || fail "$archive does not give $release's: $(head -n 3 "$said")"

for name in bin sbin lib lib64; do ln -s "usr/$name" "$work/new/$name"; done
for package in "$work"/cache/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink -C "$work/new" || fail "$package is damaged."
done
ln -s ../run "$work/new/var/run"
mkdir -p "$work/new/etc/pam.d"
for file in passwd group shadow; do : >"$work/new/etc/$file"; done
echo "passwd: files" >"$work/new/etc/nsswitch.conf"
version=$(unshare --mount --propagation private sh -c \
    "mount --rbind /dev '$work/new/dev' && exec chroot '$work/new' /usr/sbin/sshd -V" 2>&1) || fail "what was unpacked does not run: $version"
rm -rf "$root"
mv "$work/new" "$root"
echo "Unpacked $version for the tests." >&2
