"""Names that are the same to us, however they are spelt."""

import unicodedata


def folded(text: str) -> str:
    """One form for all spellings: macOS decomposes names (NFD), Windows ignores case."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
