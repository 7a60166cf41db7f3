"""The decoder of pictures to train on: upright, in 8 bits a channel, or refused in words.

Trusts: nothing in a file. Promises: what comes out shows what the file shows; what would only come
out clipped is refused, never bent in silence.
"""

import io
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, TiffImagePlugin

Pixels = npt.NDArray[np.uint8]

# Larger pictures are refused before they are decoded: 100 megapixels are 400 MB as RGBA.
MAX_PICTURE_PIXELS = 100_000_000

_SEPARATE_PLANES = 2  # TIFF 6.0, tag 284


class PictureError(Exception):
    """A picture can't be used. The text names the file, what is wrong and what to do."""


def decode_picture(data: bytes | Path, name: str, mode: str) -> Pixels:
    """A picture as uint8, turned upright as its camera noted.

    [H,W,3] in mode "RGB", [H,W,4] in "RGBA", [H,W] in "L". Colours of 16 bits come as their upper
    eight. Raises `PictureError`, whose text begins with `name`: no picture, cut short, too large,
    or of a depth that would be clipped.
    """
    source = io.BytesIO(data) if isinstance(data, bytes) else data
    try:
        with warnings.catch_warnings():
            # Pillow's own bound comes as a warning first; the one below is an error.
            warnings.simplefilter("ignore")
            with Image.open(source) as picture:
                _refuse_large(picture, name)
                _refuse_deep(picture, name)
                return _converted(ImageOps.exif_transpose(picture), mode)
    except PictureError:
        raise
    except Image.DecompressionBombError:
        raise PictureError(f"{name}: has too many pixels to be read. Scale it down.") from None
    except FileNotFoundError:
        raise PictureError(f"{name}: there is no such file.") from None
    except PermissionError:
        raise PictureError(f"{name}: may not be read. Give yourself the right to.") from None
    except Exception as error:  # noqa: BLE001 - a torn picture may fail in any way
        raise PictureError(
            f"{name}: is no picture that can be read ({type(error).__name__})."
        ) from None


def _refuse_large(picture: Image.Image, name: str) -> None:
    if picture.width * picture.height > MAX_PICTURE_PIXELS:
        raise PictureError(
            f"{name}: has {picture.width} x {picture.height} pixels, and at most "
            f"{MAX_PICTURE_PIXELS // 1_000_000} megapixels are read. Scale it down."
        )


def _refuse_deep(picture: Image.Image, name: str) -> None:
    """Greys of more than 8 bits and floats, which Pillow clips instead of scaling them.

    It also reads separate planes of more than 8 bits as if they had 8: nonsense.
    """
    tags = picture.tag_v2 if isinstance(picture, TiffImagePlugin.TiffImageFile) else {}
    bits = max(tags.get(TiffImagePlugin.BITSPERSAMPLE, (8,)))
    is_planar = tags.get(TiffImagePlugin.PLANAR_CONFIGURATION, 1) == _SEPARATE_PLANES
    if picture.mode.startswith(("I", "F")) or (is_planar and bits > 8):
        raise PictureError(
            f"{name}: has more than 8 bits a channel (mode {picture.mode}) and would come out "
            "clipped. Save it with 8 bits a channel."
        )


def _converted(picture: Image.Image, mode: str) -> Pixels:
    if mode == "RGBA" and not picture.has_transparency_data:
        picture = picture.convert("RGB")  # from CMYK straight to RGBA, the colours are others
    return np.array(picture.convert(mode))
