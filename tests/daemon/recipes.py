"""What provokes each reason of the list: the file that is dropped, or what is done to the daemon.

Told in which places, and whether in the same words, is for `wording` and the tests of that name.
"""

from pathlib import Path
from typing import Any

import poisons
from driver import Site, hole, photo, save

# The places where each kind of reason must be told; a new place of `wording` is entered here.
WAITING = ("state", "status", "page", "metrics", "why")
FAILED = ("log", "note", "book", "status", "history", "gallery", "page", "metrics", "why")
HOLDING = ("log", *WAITING)

# What is told while it waits, and what lies in the inbox then.
WAITS = {
    "companion_missing": "lone.png",
    "picture_missing": "alone_mask.png",
    "ambiguous": "two.png",
    "marker_missing": "unmarked.png",
    "marker_alone": "nobody.png.done",
    "not_quiet": "growing.png",
    "empty": "empty_mask.png",
    "no_model": "cut.png",
    "unreadable_kind": "anim.gif",
    "incomplete": "half.png",
    "cannot_be_transparent": "clear/opaque.jpg",
    "folder_mask_unreadable": "lost/cat.png",
    "folder_mask_unusable": "text/cat.png",
    "folder_model_unusable": "own/cat.png",
    "cannot_be_held": "scanner/held.png",
}
# With the picture of each pair.
FAILS = {
    "corrupt": "corrupt.png",
    "not_a_picture": "text.png",
    "several_pages": "pages.tif",
    "deep_colour": "deep.tif",
    "colour_space": "lab.tif",
    "size_mismatch": "mismatch.png",
    "too_many_pixels": "pixels.png",
    "too_many_bytes": "bytes.png",
    "out_of_proportion": "bomb.jpg",
    "too_small": "small.png",
    "mask_covers_everything": "white.png",
    "cannot_encode": "wide.png",
    "unplaceable": "taken.png/one.png",
    "folder_mask_size": "dusty/size.png",
    "nothing_transparent": "clear/solid.png",
    "all_transparent": "clear/glass.png",
    "superseded": "older.jpg",
    "vanished": "gone.jpg",
}
DIES = {
    "worker_died": poisons.SEGFAULT,
    "timed_out": poisons.SLEEPER,
    "model_raised": poisons.RAISES,
    "out_of_memory": poisons.GLUTTON,
}
# A call of the running daemon that fails with an error at one folder, as strace has it: the
# kernel's own error. Where all of them failed, neither state nor page could be written.
CALLS = {
    "disk_full": ("fsync", "ENOSPC", "work"),
    "quota": ("fsync", "EDQUOT", "work"),
    "io_error": ("fsync", "EIO", "work"),
    "read_only": ("fsync", "EROFS", "work"),
    "too_many_open_files": ("openat", "EMFILE", "inbox"),
}
ELSEWHERE = {
    "permission": "test_a_pair_that_may_not_be_taken",
    "unreadable": "test_what_may_not_be_read_or_taken",
    "other_filesystem": "test_a_subvolume_in_the_inbox",
    "mask_without_edge": "test_a_mask_without_an_edge",
    "too_large_for_memory": "test_windows_that_are_too_large",
    "stray": "test_a_stray_file",
    "folder_missing": "test_an_inbox_that_is_away",
    "mount_away": "test_a_mount_that_is_away",
    "folder_closed": "test_a_folder_that_can_not_be_written_to",
    "worker_will_not_start": "test_a_worker_that_does_not_start",
}


def drop(site: Site, name: str, picture: Any = None, mask: Any = None) -> None:
    """Put a pair there, of pixels or of a file's bytes; what is not given is good."""
    stem = name.rpartition(".")[0]
    for path, content, good in ((name, picture, photo), (f"{stem}_mask.png", mask, hole)):
        if isinstance(content, bytes):
            (site.inbox / path).parent.mkdir(parents=True, exist_ok=True)
            (site.inbox / path).write_bytes(content)
        else:
            save(good() if content is None else content, site.inbox / path)


def write_settings(path: Path) -> str:
    """A settings file with folders whose pictures need no mask of their own; returns its path."""
    save(hole(), path.with_name("dust.png"))
    path.with_name("text.png").write_text("no picture at all, but words")
    path.write_text(
        "[folders.clear]\nalpha_as_mask = true\n"
        f'[folders.own]\ninpaint_model = "{path.with_name("gone.pt")}"\n'
        + "".join(
            f'[folders.{folder}]\nmask = "{path.with_name(mask)}"\n'
            for folder, mask in (
                ("dusty", "dust.png"),
                ("lost", "gone.png"),
                ("text", "text.png"),
            )
        )
    )
    return str(path)
