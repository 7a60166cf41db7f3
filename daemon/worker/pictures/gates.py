"""What a file must pass before anything of it is decoded, whoever decodes it."""

from daemon.reasons import Trouble
from daemon.worker import excess, signatures


def whole_kind_of(data: bytes, role: str) -> str:
    """The format of a file that has its end: JPEG, PNG, TIFF, WEBP or BMP. Raises `Trouble`."""
    kind = signatures.kind_of(data, role)
    missing = signatures.what_is_missing(data, kind)
    if missing:
        raise Trouble("incomplete", role=role, detail=missing)
    return kind


def refuse_size(size: tuple[int, int], role: str, max_pixels: int) -> None:
    """Raise `Trouble` where there are more pixels than may be."""
    width, height = size
    if width * height > max_pixels:
        raise Trouble(
            "too_many_pixels", role=role, width=width, height=height, max_pixels=max_pixels
        )


def refuse_excess(data: bytes, kind: str, size: tuple[int, int], role: str) -> None:
    """Raise `Trouble` where decoding would cost far more than the pixels do."""
    too_much = excess.what_is_excessive(data, kind, *size)
    if too_much:
        raise Trouble("out_of_proportion", role=role, detail=too_much)


def refuse_claims(data: bytes, role: str) -> None:
    """Raise `Trouble` where reading a TIFF's tags would take many times the file's length."""
    too_much = excess.what_tags_claim(data)
    if too_much:
        raise Trouble("out_of_proportion", role=role, detail=too_much)


def refuse_pages(pages: int, role: str) -> None:
    """Raise `Trouble` where there is more than one page or frame."""
    if pages > 1:
        raise Trouble("several_pages", role=role, pages=pages)


def refuse_unwritten(data: bytes, role: str) -> None:
    """Some of a TIFF's compressions take zeros that are yet to be filled in for pixels."""
    if signatures.has_unwritten_blocks(data):
        raise Trouble("incomplete", role=role, detail="a part of it is still zeros")
