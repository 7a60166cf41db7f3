"""Colour spaces: what becomes of CMYK and palettes, and which profile still fits the result."""

import contextlib
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from daemon.reasons import Trouble

Pixels = NDArray[np.uint8]

BY_PROFILE = "converted from CMYK to sRGB by its colour profile"
WITHOUT_PROFILE = "converted from CMYK to RGB without a colour profile"


def to_kept(image: Image.Image) -> tuple[Image.Image, bytes | None, tuple[str, ...]]:
    """The picture in the mode its result will have, with the profile that still describes it."""
    profile: bytes | None = image.info.get("icc_profile")
    if image.mode == "CMYK":
        converted, note = _cmyk_to_srgb(image, profile)
        return converted, None, (note,)
    if image.mode in ("1", "L", "LA", "La"):
        kept = converted_to("LA" if _is_transparent(image) else "L", image)
    else:
        kept = colours(image, "picture")
    return kept, *fitting(profile, is_grey=kept.mode.startswith("L"))


def fitting(profile: bytes | None, is_grey: bool) -> tuple[bytes | None, tuple[str, ...]]:
    """The profile, if it is one for such a picture, and else a note."""
    wanted = "GRAY" if is_grey else "RGB"
    if profile and profile_space(profile) != wanted:
        return None, (f"left out a colour profile that is not for {wanted}",)
    return profile or None, ()


def colours(image: Image.Image, role: str) -> Image.Image:
    """The image as RGB, or as RGBA where it has any transparency. Raises `Trouble`."""
    if image.mode == "LAB":
        raise Trouble("colour_space", role=role, mode="Lab")
    return converted_to("RGBA" if _is_transparent(image) else "RGB", image)


def converted_to(mode: str, image: Image.Image) -> Image.Image:
    """The image in a mode: itself where it has that, of which Pillow would make a copy."""
    is_so = image.mode == mode and "transparency" not in image.info
    return image if is_so else image.convert(mode)


def in_srgb(pixels: Pixels, profile: bytes | None) -> Pixels:
    """Pixels `[H,W,3]` in sRGB, of `[H,W,3]` or grey `[H,W]` ones in a profile's colours.

    Without a profile, or with a broken one, they are taken for sRGB.
    """
    image = Image.fromarray(pixels)
    if profile:
        with contextlib.suppress(ImageCms.PyCMSError, OSError):
            converted = ImageCms.profileToProfile(
                image,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                outputMode="RGB",
            )
            if converted is not None:
                return np.asarray(converted)
    return np.asarray(image.convert("RGB"))


def profile_space(profile: bytes) -> str | None:
    """The colour space a profile is for, such as `RGB`, `GRAY` or `CMYK`; None for a broken one."""
    try:
        space: str = ImageCms.getOpenProfile(io.BytesIO(profile)).profile.xcolor_space
    except (ImageCms.PyCMSError, OSError):
        return None
    return space.strip()


def _is_transparent(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info


def _cmyk_to_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, str]:
    if profile and profile_space(profile) == "CMYK":
        with contextlib.suppress(ImageCms.PyCMSError):
            converted = ImageCms.profileToProfile(
                image,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                outputMode="RGB",
            )
            if converted is not None:
                return converted, BY_PROFILE
    return image.convert("RGB"), WITHOUT_PROFILE
