"""What every test may count on."""

import signal


def pytest_configure() -> None:
    """Ctrl-C works in tests of it, however the tests were started.

    A shell without job control starts what runs in its background deaf to SIGINT, and children
    inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
