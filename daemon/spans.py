"""Spans of time and numbers of tries, as people say them."""


def span(seconds: float) -> str:
    """A time span: `0.5 s`, `4 s`, `12 min`, `3.5 h`, `2.0 days`."""
    if seconds < 1:
        return f"{seconds:.1g} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def times(number: float) -> str:
    """How often: `once`, `3 times`."""
    return "once" if number == 1 else f"{number:g} times"
