"""`python -m appliance.healthy URL`: does a page of this machine's loopback answer 200? For a container's health check.

Exit 0 or 1; what is wrong comes on standard error, where `docker inspect` shows it. It imports nothing but the standard
library, since it is started every few seconds.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

WAIT_S = 4.0
MOST = 2048
"""Of an answer's text."""


def main(arguments: Sequence[str]) -> int:
    parts = urlsplit(arguments[0]) if len(arguments) == 1 else None
    if parts is None or parts.scheme != "http" or parts.hostname is None:
        sys.stderr.write("usage: python -m appliance.healthy http://127.0.0.1:PORT/PATH\n")
        return 2
    connection = HTTPConnection(parts.hostname, parts.port or 80, timeout=WAIT_S)
    try:
        connection.request("GET", parts.path or "/")
        answer = connection.getresponse()
        text = answer.read(MOST).decode(errors="replace")
    except (OSError, HTTPException) as error:
        sys.stderr.write(f"{arguments[0]}: {error or type(error).__name__}\n")
        return 1
    finally:
        connection.close()
    if answer.status != 200:
        sys.stderr.write(text)
    return int(answer.status != 200)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
