#!/usr/bin/env bash
# make test-compose: docker-compose.yml for real. An engine (Debian's docker.io) in a directory and a network namespace of
# its own, images on a base that debootstrap has made, the lab up, and tests/compose/check_stack.py.
#
# Images are built first, by an engine that touches no network of this machine (no bridge, no iptables, no forwarding) and
# whose build steps use the machine's own. The second engine has a namespace that leads nowhere.
#
# COMPOSE_PLUGIN=FILE tries another release of Compose, as a plugin of the client's.
#
# Where no engine can be started it says why, and ends with exit code 77.
set -euo pipefail
cd "$(dirname "$0")/../.."

not_here() {
    echo "test-compose was NOT run, since no engine can be started here: $*" >&2
    exit 77
}
[ "$(uname -s)" = Linux ] || not_here "this is no Linux"
[ "$(id -u)" -eq 0 ] || not_here "it takes root"

# Debian's own engine and client: others in PATH may lack BuildKit or Compose.
PATH="/usr/sbin:/usr/bin:/sbin:/bin:$PATH"
missing=()
need() { command -v "$1" >/dev/null || missing+=("$2"); }
need dockerd docker.io
need docker docker.io
docker compose version >/dev/null 2>&1 || need docker-compose docker-compose
need debootstrap debootstrap
need iptables iptables
need ip iproute2
need openssl openssl
if [ ${#missing[@]} -gt 0 ]; then
    command -v apt-get >/dev/null || not_here "missing: ${missing[*]} (Debian's package names)"
    echo "Installing ${missing[*]}..." >&2
    policy=/usr/sbin/policy-rc.d # keeps a package from starting its service
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        trap 'rm -f "$policy"' EXIT
    fi
    log=$(mktemp)
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } \
        >"$log" 2>&1 </dev/null || { tail -20 "$log" >&2; not_here "the packages could not be installed"; }
    rm -f "$log" "$policy"
    hash -r # another client may have been looked for before
fi

cache=$PWD/.venv-peers/compose
mkdir -p "$cache"
work=$(mktemp -d /var/tmp/keymuster-compose.XXXXXX)
namespace=$(basename "$work")
export DOCKER_HOST=unix://$work/docker.sock DOCKER_CONFIG=$work/config COMPOSE_PROJECT_NAME=kmtest
mkdir -p "$work/config/cli-plugins"
[ -z "${COMPOSE_PLUGIN:-}" ] || cp "$COMPOSE_PLUGIN" "$work/config/cli-plugins/docker-compose"

engine() { # how it is started..., -- options
    local before=() deadline=$((SECONDS + 60))
    while [ "$1" != -- ]; do before+=("$1"); shift; done
    shift
    setsid "${before[@]}" dockerd -H "$DOCKER_HOST" --data-root "$work/root" --exec-root "$work/exec" \
        --pidfile "$work/dockerd.pid" "$@" >>"$work/dockerd.log" 2>&1 </dev/null &
    until docker version >/dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] || { tail -5 "$work/dockerd.log" >&2; not_here "dockerd does not come up"; }
        sleep 0.2
    done
}

stop_engine() {
    local pid
    pid=$(cat "$work/dockerd.pid" 2>/dev/null) || return 0
    kill "$pid" 2>/dev/null || true
    for _ in $(seq 300); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
}

# shellcheck disable=SC2317 # by the trap
cleanup() {
    [ -z "${KEEP:-}" ] || { echo "kept: DOCKER_HOST=$DOCKER_HOST in namespace $namespace" >&2; return; }
    docker ps -aq 2>/dev/null | xargs -r docker rm -f >/dev/null 2>&1 || true
    stop_engine
    grep -o " $work[^ ]*" /proc/self/mounts | tac | xargs -r umount -l 2>/dev/null || true
    ip netns del "$namespace" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT

if [ ! -s "$cache/base.tar" ]; then
    echo "A base image by debootstrap (kept in $cache)..." >&2
    # shellcheck source=/dev/null
    release=$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")
    # shellcheck disable=SC2016 # a format of apt's, not a variable
    archive=$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' |
        sed -n 's/^Debian Debian //p' | head -n 1)
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates,iproute2 \
        "$release" "$work/base" "${archive:-http://deb.debian.org/debian/}" >"$work/debootstrap.log" 2>&1 ||
        { tail -20 "$work/debootstrap.log" >&2; not_here "debootstrap fails"; }
    rm -rf "$work"/base/var/cache/apt/archives/*.deb
    tar -C "$work/base" -c . >"$cache/base.tar.new"
    mv "$cache/base.tar.new" "$cache/base.tar"
    rm -rf "$work/base"
fi

echo "Images..." >&2
engine -- --iptables=false --ip6tables=false --ip-forward=false --bridge=none
export BASE_IMAGE=keymuster-base:latest KEYMUSTER_IMAGE=keymuster:latest KEYMUSTER_LAB_IMAGE=keymuster-lab:latest
export POSTGRES_IMAGE=keymuster-postgres:latest
docker import "$cache/base.tar" "$BASE_IMAGE" >/dev/null
# What pip is to trust, with a line in it that no layer may hold.
export BUILD_MARKER="KMS-build-$(openssl rand -hex 12)"
{ echo "# $BUILD_MARKER"; cat "${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt}"; } >"$work/ca.pem"
options="--network host --quiet --build-arg HTTP_PROXY --build-arg HTTPS_PROXY --build-arg NO_PROXY"
make --no-print-directory image PIP_CA="$work/ca.pem" DOCKER_BUILD="$options" >&2
# shellcheck disable=SC2086 # several options
DOCKER_BUILDKIT=1 docker build $options --build-arg BASE_IMAGE="$BASE_IMAGE" -t "$POSTGRES_IMAGE" tests/compose/postgres >&2
stop_engine

echo "The engine in a network namespace of its own, and the lab on it..." >&2
ip netns add "$namespace"
ip -n "$namespace" link set lo up
# Not `ip netns exec`: it mounts /sys anew, and the engine misses its cgroups there.
engine nsenter --net="/run/netns/$namespace" -- --live-restore=false
export KEYMUSTER_SECRETS=$work/secrets
.venv/bin/python -m pytest -p no:xdist -q tests/compose/check_stack.py "$@"
