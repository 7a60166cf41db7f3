"""`make demo`: four real photos through the real daemon, and a sheet to look at.

Exports the small networks that come with the project, starts the daemon on a temporary spool,
drops the photos in as people and programs do, waits for the results, stops the daemon and draws
`demo/sheet.png`. Exit code 0 only if every result came and is what it should be.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from demo_photos import JOBS, Job
from PIL import Image, ImageChops

from models.evaluation.sheet import Cell, Row, draw_sheet, on_checkerboard

DEMO: Final = Path(__file__).resolve().parent.parent / "demo"
COMMANDS: Final = Path(sys.executable).parent
QUIET_PERIOD_S: Final = 1
WAIT_S: Final = 180
STOP_S: Final = 60

NOTICE: Final = (
    "Starter networks, trained for an hour or two each on one CPU core. Larger ones, trained "
    "longer, do better: docs/training.md."
)


class DemoError(Exception):
    """The demo did not come to its end. The text says where."""


def main() -> int:
    """Run the demo; gives its exit code."""
    parser = argparse.ArgumentParser(description="Four real photos through the real daemon.")
    parser.add_argument(
        "--networks-only", action="store_true", help="export the starter networks, then stop"
    )
    options = parser.parse_args()
    try:
        export_networks(DEMO / "networks")
        if not options.networks_only:
            run_demo()
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


def export_networks(folder: Path) -> None:
    """Leave `inpaint.pt` and `matting.pt` in `folder`: the starter networks, verified."""
    print("Exporting the starter networks.", flush=True)
    command = [str(COMMANDS / "retouchd-export"), "starter", "--output", str(folder)]
    if subprocess.run(command, check=False).returncode:
        raise DemoError("the export failed; its own words are above.")


def run_demo() -> None:
    """Drop the photos, wait for the results, check them and draw the sheet."""
    with tempfile.TemporaryDirectory(prefix="retouchd-demo-") as made:
        spool = Path(made, "spool")
        with running_daemon(spool) as daemon:
            print(f"\nDropping {len(JOBS)} photos into {spool / 'inbox'}", flush=True)
            drop_all(spool / "inbox")
            print("Waiting for the results.", flush=True)
            wait_for_results(spool, daemon)
        for job in JOBS:
            check_result(job, spool)
        shutil.rmtree(DEMO / "outbox", ignore_errors=True)
        shutil.copytree(spool / "outbox", DEMO / "outbox")
        sheet = draw_sheet(
            "retouchd", "a photo and its mask in, a retouched photo out", NOTICE, rows(spool)
        )
    sheet.save(DEMO / "sheet.png", optimize=True)
    print("\nAll results came; outside the masks every pixel is as it was.\n")
    for job in JOBS:
        for result in job.results:
            print(f"  {DEMO / 'outbox' / result}")
    print(f"\n{NOTICE}\n\nThe sheet: {DEMO / 'sheet.png'}")
    print(f"The gallery, for a browser: {DEMO / 'outbox' / 'index.html'}")


@contextmanager
def running_daemon(spool: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`retouchd run` on `spool`, asked to stop at the end; it has to do so with exit code 0."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RETOUCHD_")}
    environment |= {
        "RETOUCHD_INPAINT_MODEL": str(DEMO / "networks" / "inpaint.pt"),
        "RETOUCHD_MATTING_MODEL": str(DEMO / "networks" / "matting.pt"),
        "RETOUCHD_QUIET_PERIOD_S": str(QUIET_PERIOD_S),
    }
    log = DEMO / "daemon.log"
    with log.open("wb") as stream:
        daemon = subprocess.Popen(
            [COMMANDS / "retouchd", "run", "--spool", spool],
            env=environment,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        yield daemon
        daemon.send_signal(signal.SIGTERM)
        try:
            code = daemon.wait(STOP_S)
        except subprocess.TimeoutExpired:
            raise DemoError(f"the daemon did not stop within {STOP_S} s.") from None
        if code:
            raise DemoError(f"the daemon ended with exit code {code}.")
    except DemoError as error:
        raise DemoError(f"{error} Its log, {log}:\n{log.read_text(errors='replace')}") from None
    finally:
        daemon.kill()
        daemon.wait()


def drop_all(inbox: Path) -> None:
    """Drop every photo and its companion, no two in the same way."""
    with tempfile.TemporaryDirectory(prefix="retouchd-demo-") as made:
        for i, job in enumerate(JOBS):
            drawn = []
            for picture, path in (
                (job.photo(), job.photo_path),
                (job.companion(), job.companion_path),
            ):
                file = Path(made, path)
                file.parent.mkdir(parents=True, exist_ok=True)
                picture.save(file, quality=92)
                drawn.append((file, inbox / path))
            # Mask first or photo first must not matter.
            for file, target in drawn if i % 2 else reversed(drawn):
                if job.photo_path.endswith(".jpg"):
                    upload_slowly(file, target)
                else:
                    upload_and_rename(file, target)
            print(f"  {job.photo_path}  +  {job.companion_path}", flush=True)


def upload_slowly(file: Path, target: Path, pieces: int = 5) -> None:
    """Write under the final name, piece by piece, as a scanner or a slow network does."""
    target.parent.mkdir(parents=True, exist_ok=True)
    content = file.read_bytes()
    step = len(content) // pieces + 1
    with target.open("wb") as stream:
        for start in range(0, len(content), step):
            stream.write(content[start : start + step])
            stream.flush()
            time.sleep(QUIET_PERIOD_S / 4)


def upload_and_rename(file: Path, target: Path) -> None:
    """Write under a temporary name, then rename, as rsync and careful programs do."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.part")
    temporary.write_bytes(file.read_bytes())
    temporary.rename(target)


def wait_for_results(spool: Path, daemon: subprocess.Popen[bytes]) -> None:
    """Return when every result lies in the outbox; raise when that can't be any more."""
    deadline = time.monotonic() + WAIT_S
    missing = [result for job in JOBS for result in job.results]
    while missing:
        if daemon.poll() is not None:
            raise DemoError(f"the daemon ended by itself, with exit code {daemon.returncode}.")
        failed = [path.name for path in (spool / "failed").rglob("*") if path.is_file()]
        if failed:
            raise DemoError(f"these went to failed/: {', '.join(sorted(failed))}.")
        if time.monotonic() > deadline:
            raise DemoError(f"after {WAIT_S} s these are missing: {', '.join(missing)}.")
        time.sleep(0.2)
        missing = [result for result in missing if not (spool / "outbox" / result).exists()]


def check_result(job: Job, spool: Path) -> None:
    """Raise where a result is not the photo, changed in the hole or cut out and nowhere else."""
    photo, companion = originals(job, spool)
    outbox = spool / "outbox"
    if job.task == "inpaint":
        after = Image.open(outbox / job.results[0]).convert("RGB")
        keep = companion.point(lambda value: 0 if value else 255)
        black = Image.new("RGB", photo.size)
        changed = ImageChops.difference(photo, after)
        if Image.composite(changed, black, keep).getbbox():
            raise DemoError(f"{job.results[0]} differs from the photo outside the mask.")
        return
    alpha = Image.open(outbox / job.results[0])
    for known in (0, 255):
        is_known = companion.point(lambda value, known=known: 255 if value == known else 0)
        expected = Image.new("L", alpha.size, known)
        difference = ImageChops.difference(alpha, expected)
        if Image.composite(difference, Image.new("L", alpha.size), is_known).getbbox():
            raise DemoError(f"{job.results[0]} is not {known} where the trimap is.")


def originals(job: Job, spool: Path) -> tuple[Image.Image, Image.Image]:
    """The photo and its companion as the daemon archived them."""
    archive = spool / "archive"
    return (
        Image.open(archive / job.photo_path).convert("RGB"),
        Image.open(archive / job.companion_path).convert("L"),
    )


def rows(spool: Path) -> list[Row]:
    """The sheet's rows, from the files that lie in the spool now."""
    made = []
    for job in JOBS:
        photo, companion = originals(job, spool)
        result = spool / "outbox" / job.results[0]
        if job.task == "inpaint":
            after = Image.open(result).convert("RGB")
            cells = (
                Cell(photo, "Before"),
                Cell(companion, "Mask: white is to vanish"),
                Cell(after, "After"),
                Cell(after.crop(job.detail), "Detail"),
            )
        else:
            cutout = Image.open(spool / "outbox" / job.results[1])
            cells = (
                Cell(photo, "Before"),
                Cell(companion, "Trimap: grey is to be found out"),
                Cell(Image.open(result), "Alpha"),
                Cell(on_checkerboard(cutout), "Cut-out"),
            )
        dropped = f"{job.photo_path}  +  {Path(job.companion_path).name}"
        came = ", ".join(Path(path).name for path in job.results)
        made.append(Row(job.title, f"{dropped}   >   {came}", cells))
    return made


if __name__ == "__main__":
    sys.exit(main())
