#!/usr/bin/env bash
# usage: lab-secrets.sh DIRECTORY
#
# What docker-compose.yml wants as secrets, made up for a lab: passwords, the fleet key, and certificates of an authority
# of its own for the bus and the store. Where the directory is there already, what it lacks is added.
#
# Compose hands a file over with the owner and mode that it has here, so the files can be read by all, and the directory
# by its owner alone.
set -euo pipefail

directory=${1:?usage: lab-secrets.sh DIRECTORY}
command -v openssl >/dev/null || { echo "lab-secrets.sh: openssl is missing; install it" >&2; exit 1; }
mkdir -p "$directory"
chmod 700 "$directory"
cd "$directory"

random() { openssl rand -base64 32 | tr '+/' '-_'; }

for name in store_password vault_password fleet_key; do
    [ -s "$name" ] || random >"$name"
done
# Not yet: `keymuster fleet add` makes them. Compose wants the files to be there.
touch enrolment_lan enrolment_dmz

if ! [ -s bus_ca ]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    quietly() { "$@" 2>"$work/said" || { cat "$work/said" >&2; exit 1; }; }
    quietly openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj "/CN=Keymuster lab" \
        -addext "keyUsage=critical,keyCertSign,cRLSign" -keyout "$work/ca.key" -out bus_ca
    issue() { # name, names of the server
        quietly openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$1" -keyout "$1_key" -out "$work/request"
        printf 'subjectAltName=%s\nbasicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n' "$2" >"$work/extensions"
        printf 'subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n' >>"$work/extensions"
        quietly openssl x509 -req -in "$work/request" -CA bus_ca -CAkey "$work/ca.key" -set_serial "0x$(openssl rand -hex 16)" -days 30 \
            -extfile "$work/extensions" -out "$1_cert"
    }
    issue bus "DNS:nats,DNS:nats-1,DNS:nats-2,DNS:nats-3"
    issue store "DNS:postgres"
    cp bus_ca store_ca
fi
chmod 444 ./*
chmod 644 enrolment_lan enrolment_dmz
