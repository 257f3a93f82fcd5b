"""`python -m targets ESTATE.toml [--seed N] --state DIR`: see `program`."""

from __future__ import annotations

import gc
import sys

if __name__ == "__main__":
    # Until it serves. All that is loaded and built before stays: to look for garbage in it again and again is a quarter
    # of a small estate's start.
    gc.disable()

    from targets import program

    sys.exit(program.main())
