"""`make mutate`: changes one row or one condition of the classification after the other; does a test notice each?

Prints every mutant that survives, and how many were killed. Exit 1 for a survivor that plan.py does not list as known
to be equivalent, and for one listed there that is killed, or not made any more.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from tests.mutation.judge import Made, PlanError, judge, make
from tests.mutation.plan import EQUIVALENT, ROOT, TARGETS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("path", nargs="*", help="only these modules of the plan, such as appliance/classify.py")
    only = parser.parse_args().path
    if unknown := set(only) - {target.path for target in TARGETS}:
        parser.error(f"not in the plan: {', '.join(sorted(unknown))}")
    began = time.monotonic()
    try:
        made = [one for target in TARGETS if not only or target.path in only for one in make(target, ROOT)]
        survivors = _judged(made)
    except PlanError as error:
        parser.error(str(error))
    alike = {one.name for one in survivors} & EQUIVALENT.keys()
    stale = EQUIVALENT.keys() - alike if not only else set()
    wrong = [f"SURVIVES {one}" for one in survivors if one.name not in alike]
    wrong += [f"NO SURVIVOR, though listed as equivalent: {name}" for name in sorted(stale)]
    for line in wrong:
        print(line)
    killed, seconds = len(made) - len(survivors), time.monotonic() - began
    print(f"{len(made)} mutants in {seconds:.0f} s: {killed} killed, {len(alike)} known to be equivalent, ", end="")
    print(f"{len(survivors) - len(alike)} survive")
    return 1 if wrong else 0


def _judged(made: list[Made]) -> list[Made]:
    """The survivors. Tells of each module when its mutants are judged."""
    survivors: list[Made] = []
    left = Counter(one.target.path for one in made)
    total = left.copy()

    def heard(one: Made, survives: bool) -> None:
        path = one.target.path
        if survives:
            survivors.append(one)
        left[path] -= 1
        if not left[path]:
            killed = total[path] - sum(survivor.target.path == path for survivor in survivors)
            print(f"{path}: {killed} of {total[path]} killed", flush=True)

    judge(made, ROOT, heard)
    return survivors


if __name__ == "__main__":
    sys.exit(main())
