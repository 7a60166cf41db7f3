"""Lets two names swap what they mean, now and again, until it is ended.

As a program: `flipper.py ONE OTHER [ONE OTHER]...`; each exchange is one step (RENAME_EXCHANGE).
"""

import ctypes
import os
import random
import signal
import sys
import time
from itertools import cycle
from typing import NoReturn

_EXCHANGE = 2
_HERE = -100
# Long enough that some work gets done, and short enough that none is done undisturbed.
LONGEST_REST_S = 0.002


def main() -> NoReturn:
    libc = ctypes.CDLL(None, use_errno=True)
    names = [os.fsencode(name) for name in sys.argv[1:]]
    pairs = list(zip(names[::2], names[1::2], strict=True))
    # Ended between two exchanges only, so that whoever ends it can tell how it left them.
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    swaps = 0
    for one, other in cycle(pairs):
        if ended:
            print(swaps)
            sys.exit()
        if libc.renameat2(_HERE, one, _HERE, other, _EXCHANGE) == 0:
            swaps += 1
            time.sleep(random.random() * LONGEST_REST_S)
    raise AssertionError("a cycle ends")


if __name__ == "__main__":
    main()
