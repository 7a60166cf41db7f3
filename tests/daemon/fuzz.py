"""Read thousands of malformed pictures: `python tests/daemon/fuzz.py --pictures 22000 --seed 1`.

Every kind of every format in turn, with one seed after the other. Prints what must not be when it
meets it, and at the end what came of all. `python tests/daemon/fuzz.py PNG/odd_header/17` makes one
file again, has it read, and leaves it as `malformed`.
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from gauntlet import Gauntlet, Outcome
from mutations import KINDS, Malformed, every_kind


def read_many(pictures: int, seed: int) -> int:
    """Read so many; returns how many of them are findings."""
    kinds = sum(map(len, KINDS.values()))
    rounds = range(seed, seed + -(-pictures // kinds))
    counts: dict[str, Counter[str]] = {form: Counter() for form in KINDS}
    outcomes: list[Outcome] = []
    findings, start = 0, time.monotonic()
    with Gauntlet() as gauntlet:
        for malformed in every_kind(rounds)[:pictures]:
            outcomes.append(gauntlet.run(malformed))
            counts[malformed.form][outcomes[-1].verdict] += 1
            finding = outcomes[-1].finding()
            if finding:
                findings += 1
                print(finding, flush=True)
        deaths = gauntlet.deaths
    for form, found in counts.items():
        print(f"{form} ({len(KINDS[form])} kinds): {found.total()} files; ", end="")
        print(", ".join(f"{count} {verdict}" for verdict, count in found.most_common()))
    for cost in ("seconds", "more_mb", "peak_mb"):
        most = max(outcomes, key=lambda outcome: float(getattr(outcome, cost)))
        print(f"most {cost}: {getattr(most, cost)} for {most.name} ({most.bytes} bytes)")
    print(f"{len(outcomes)} files from seed {seed}, {deaths} deaths, {findings} findings, "
          f"{time.monotonic() - start:.0f} s")  # fmt: skip
    return findings


def read_one(name: str) -> int:
    """Make a file again and have it read; returns 1 if that is a finding."""
    malformed = Malformed.named(name)
    Path("malformed").write_bytes(malformed.make())
    with Gauntlet() as gauntlet:
        outcome = gauntlet.run(malformed)
    print(outcome)
    return int(outcome.finding() is not None)


def main() -> int:
    """Returns 0 where nothing was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="?", help="one file to make again, FORMAT/kind/seed")
    parser.add_argument("--pictures", type=int, default=22_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.name:
        return read_one(options.name)
    return int(read_many(options.pictures, options.seed) > 0)


if __name__ == "__main__":
    sys.exit(main())
