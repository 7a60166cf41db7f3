"""What a damaged file makes a decoder raise, as a `Trouble`."""

import contextlib
import struct
import warnings
from collections.abc import Iterator
from typing import Final

from PIL import UnidentifiedImageError

from daemon.reasons import Trouble

# Some of what decoders raise shows the file's own bytes, and as many as the file likes.
MOST_DETAIL: Final = 120

# What a damaged file makes Pillow raise, besides OSError.
DECODING_ERRORS: Final = (
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    AssertionError,
    EOFError,
    OverflowError,
    ZeroDivisionError,
    SystemError,
    struct.error,
    RuntimeError,
)


@contextlib.contextmanager
def damage_is_trouble(role: str, kind: str) -> Iterator[None]:
    """What a damaged file makes Pillow raise, in here, becomes a `Trouble`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about damaged metadata, which is left out anyway
            yield
    except UnidentifiedImageError:
        raise Trouble("incomplete", role=role, detail=f"its {kind} header is damaged") from None
    except MemoryError:
        raise Trouble("out_of_memory", detail=f"while decoding the {role}") from None
    except (OSError, *DECODING_ERRORS) as error:
        # The bytes are in memory already: no error of the world can be among these.
        raise Trouble("incomplete", role=role, detail=in_short(error)) from None


def in_short(error: Exception) -> str:
    """What an error says, on one line that is not long."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= MOST_DETAIL else text[:MOST_DETAIL] + " ..."
