#!/usr/bin/env bash
# Makes the virtual environment $1 with the first Python >= 3.11 that can; keeps one that works.
set -euo pipefail
venv=$1

usable() { "$1" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

if [ -x "$venv/bin/python" ] && usable "$venv/bin/python"; then
    exit 0
fi
# PYTHON, if given, is a wish to be honoured or refused, not a hint.
for python in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if usable "$python"; then
        echo "Making $venv with $("$python" --version)..." >&2
        rm -rf "$venv"
        exec "$python" -m venv "$venv"
    fi
done
cat >&2 <<'MESSAGE'
No usable Python found: Keymuster needs Python >= 3.11 with its venv module.
  Debian 12 or later, Ubuntu 24.04 or later:  apt-get install python3 python3-venv
  elsewhere: install Python 3.11 or later, or name it:  make PYTHON=/path/to/python3 ...
MESSAGE
exit 1
