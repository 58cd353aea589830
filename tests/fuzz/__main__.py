"""Run the search for inputs that break something.

``python -m tests.fuzz --seconds 600 --seed 1`` runs cases for ten minutes and prints distinct failures, each with the
number of its first case. ``python -m tests.fuzz --seed 1 --only 77`` runs one case again. The number of a case holds
for one list of kinds: give ``--kinds`` again where it was given.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.fuzz.kinds import KINDS
from tests.fuzz.runner import only, run


def main() -> int:
    """Run what the command line asks for; return 1 where something failed."""
    parser = argparse.ArgumentParser("python -m tests.fuzz", description="Search for inputs that break something.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default="", help=f"of {', '.join(KINDS)}; separated by commas")
    parser.add_argument("--only", type=int, help="the number of a case")
    given = parser.parse_args()
    if given.only is not None:
        verdict = only(given.seed, given.only, given.kinds)
        print(verdict)
        return 0 if verdict.passed else 1
    began = time.monotonic()
    found = run(given.seconds, given.seed, given.kinds)
    print(f"seed {given.seed}: {found.kinds.total()} cases in {time.monotonic() - began:.0f} s")
    print(f"  by kind: {dict(found.kinds)}\n  by end: {dict(found.ends)}")
    for line in found.lines():
        print(line)
    return 1 if found.failures else 0


if __name__ == "__main__":
    sys.exit(main())
