#!/usr/bin/env bash
# usage: lab.sh up|campaign|score|down|demo
#
# The lab of docker-compose.yml: profile `lab`, with four appliances in zone lan and one in zone dmz.
#
#   up        secrets, services, enrolment, the vault's login; images are there (`make image`)
#   campaign  one campaign over both zones
#   score     the estate is stopped, and the last run is held against what is true of it and what it has counted
#   down      everything away, volumes too
#   demo      all of it
#
# LAN and DMZ are numbers of appliances (4, 1), PACE further lines of the campaign's [pace]; KEYMUSTER_SECRETS is the
# directory of the secrets.
set -euo pipefail
cd "$(dirname "$0")/../.."

export COMPOSE_PROJECT_NAME=${COMPOSE_PROJECT_NAME:-keymuster-lab} COMPOSE_PROFILES=lab
export KEYMUSTER_SECRETS=${KEYMUSTER_SECRETS:-$PWD/deploy/compose/secrets}
LAN=${LAN:-4} DMZ=${DMZ:-1}
HEALTHY_WITHIN=${HEALTHY_WITHIN:-180}

if docker compose version >/dev/null 2>&1; then
    compose() { docker compose "$@"; }
elif command -v docker-compose >/dev/null; then
    compose() { docker-compose "$@"; }
else
    echo "lab.sh: neither \`docker compose\` nor docker-compose is here; install one of them" >&2
    exit 1
fi

say() { printf '\n== %s\n' "$*" >&2; }
keymuster() { compose exec -T orchestrator keymuster "$@"; }

healthy() { # services
    local deadline=$((SECONDS + HEALTHY_WITHIN)) id state
    for id in $(compose ps -q "$@"); do
        until state=$(docker inspect --format '{{.State.Health.Status}}' "$id"); [ "$state" = healthy ]; do
            if [ $SECONDS -ge $deadline ]; then
                echo "lab.sh: $(docker inspect --format '{{.Name}}' "$id") is $state after $HEALTHY_WITHIN s:" >&2
                docker logs --tail 20 "$id" >&2
                exit 1
            fi
            sleep 1
        done
    done
}

invite() { # zone, number: its token is a secret of the appliances
    keymuster fleet add --zone "$1" --count "$2" >"$KEYMUSTER_SECRETS/enrolment_$1"
}

up() {
    say "secrets in $KEYMUSTER_SECRETS"
    deploy/compose/lab-secrets.sh "$KEYMUSTER_SECRETS"
    say "store, bus, orchestrator and estate"
    compose up -d postgres nats-1 nats-2 nats-3 orchestrator estate
    healthy orchestrator estate
    say "$LAN appliances for zone lan, $DMZ for zone dmz"
    invite lan "$LAN"
    invite dmz "$DMZ"
    compose up -d --no-deps --scale appliance="$LAN" --scale appliance-dmz="$DMZ" appliance appliance-dmz
    healthy appliance appliance-dmz
    say "the vault's login, sealed for each of them"
    keymuster fleet login /shared/campaign.toml
    keymuster fleet list
}

# One run: what lies in zone dmz's network is done by its appliances, the rest by those of lan.
campaign() {
    say "the campaign"
    compose exec -T orchestrator sh -euc 'cat /shared/campaign.toml - >/tmp/lab.toml' <<CAMPAIGN
zone = "lan"
${PACE:-}

[[zones]]
name = "dmz"
ips = ["10.92.20.0/24"]
CAMPAIGN
    keymuster run /tmp/lab.toml --no-progress
}

score() {
    say "the score"
    compose stop estate
    keymuster lab score --truth /shared/truth.ndjson
}

down() {
    say "down"
    compose down --volumes --remove-orphans --timeout 80
}

case ${1:-} in
up | campaign | score | down) "$1" ;;
demo)
    trap down EXIT
    up
    campaign
    score
    ;;
*)
    sed -n 's/^# \{0,1\}//p' "$0" | head -13 >&2
    exit 2
    ;;
esac
