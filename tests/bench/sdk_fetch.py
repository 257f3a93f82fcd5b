"""Fetch secrets with python-tss-sdk, in threads. It runs in the SDK's environment and knows nothing of ours.

The order comes as JSON on stdin, figures go out as those of `vault_fetch`. One client object for all threads: its
token is asked for once.
"""

from __future__ import annotations

import itertools
import json
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from delinea.secrets.server import PasswordGrantAuthorizer, SecretServer  # type: ignore[import-not-found, import-untyped, unused-ignore]


def cpu_spent() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    order = json.load(sys.stdin)
    login = PasswordGrantAuthorizer(order["url"], order["user"], order["password"])
    server = SecretServer(order["url"], login)
    numbers = itertools.cycle(order["ids"])

    def fetch(number: int) -> None:
        secret = json.loads(server.get_secret_json(number))
        assert any(item["slug"] == "password" and item["itemValue"] for item in secret["items"])

    with ThreadPoolExecutor(order["at_once"]) as threads:
        list(threads.map(fetch, itertools.islice(numbers, order["at_once"])))
        began, before = time.perf_counter(), cpu_spent()
        list(threads.map(fetch, itertools.islice(numbers, order["fetches"])))
        print(order["fetches"], f"{time.perf_counter() - began:.4f}", f"{cpu_spent() - before:.4f}", 0)


if __name__ == "__main__":
    main()
