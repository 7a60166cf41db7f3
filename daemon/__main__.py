"""Where `retouchd` begins, and `python -m daemon`: Ctrl-C is a line from the first moment on, and
not only when all that the commands need is there, which takes most of a second."""

import sys
from typing import Final

INTERRUPTED: Final = 130


def main() -> int:
    """Run the command line of this process; returns the exit status."""
    try:
        from daemon import cli

        return cli.main()
    except KeyboardInterrupt:
        sys.stderr.write("retouchd: stopped by Ctrl-C.\n")
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
