"""`make bench`: the login engines beside their peers (`engines`), the whole product at steady load beside its engine
(`product`), and the vault's client alone (`vault_clients`, whose options this command takes). Rows that have a target
are told met or not; the floors of the vault's client decide the exit code.
"""

from __future__ import annotations

import os
import sys

from tests.bench import product, vault_clients
from tests.bench.engines import __main__ as engines


def main() -> int:
    print(f"{os.cpu_count()} cores; clients, servers and vault share them", flush=True)
    engines.main([])
    print()
    product.main([])
    print()
    return vault_clients.main()


if __name__ == "__main__":
    sys.exit(main())
