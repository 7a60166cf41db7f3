"""A picture that was done, or given up, as a card of the gallery."""

from collections.abc import Iterable
from typing import Final

from daemon.people.pages.elements import Html, cut, joined, link_to, name_of, tag, text_of
from daemon.people.pages.frame import MOST_OF_A_TEXT, moment, what_to_do
from daemon.people.pages.remarks import how_made, is_unchanged, of_picture
from daemon.spool.entries import Ended
from daemon.worker.protocol import MOST_PREVIEWED

_MOST_OF_A_NAME: Final = 300
# What a file in the outbox is called on a link to it, by how its name ends; what people want most
# comes first, and that is what ends in none of these.
_FILES: Final = (
    ("", "Result"),
    (".cutout.png", "Cut-out"),
    (".alpha.png", "Alpha matte"),
    (".trimap.png", "Trimap"),
    (".preview.jpg", "Preview"),
    (".log", "Log"),
)
_TASKS: Final = {"inpaint": "Retouched", "matting": "Cut out"}
# The frame that a slider lies in is so wide for its height.
_FRAME: Final = 3 / 2


def card(ended: Ended, up: str) -> Html:
    """One entry of the gallery; `up` leads from the page to the outbox."""
    return _failed(ended) if ended.report else _done(ended, up)


def shapes(entries: Iterable[Ended]) -> str:
    """The style that gives the sliders of these entries the shapes of their pictures; without the
    script, where before and after lie side by side, each of the two halves."""
    sizes = {size for each in entries if (size := _panel(each))}
    return "".join(
        f".{_shape(size)} {{ --shape: {size[0]} / {size[1]} }} "
        f".{_shape(size)} img {{ {_fitting(size, _FRAME / 2)}: 100% }} "
        f".live.{_shape(size)} {{ {_fitting(size, _FRAME)}: 100% }}\n"
        for size in sorted(sizes)
    )


def _fitting(size: tuple[int, int], frame: float) -> str:
    """By which side a picture fills a frame that is so wide for its height."""
    return "width" if size[0] >= frame * size[1] else "height"


def _shape(size: tuple[int, int]) -> str:
    return f"s{size[0]}x{size[1]}"


def _strip(ended: Ended) -> str | None:
    return next((path for path in ended.outputs if path.endswith(".preview.jpg")), None)


def _panel(ended: Ended) -> tuple[int, int] | None:
    """Width and height of a third of the preview; by the picture's where only that is known, as of
    a job whose line in the book was lost."""
    facts = ended.facts
    if facts is None or _strip(ended) is None:
        return None
    if facts.preview:
        return facts.preview
    scale = min(1.0, MOST_PREVIEWED / max(facts.width, facts.height, 1))
    return max(1, round(facts.width * scale)), max(1, round(facts.height * scale))


def _done(ended: Ended, up: str) -> Html:
    facts = ended.facts
    lines = [_heading(ended), _told(ended), _files(ended, up)]
    if facts:
        lines += [of_picture(facts), how_made(facts)]
    picture = _slider(ended, up)
    return tag("li", picture, tag("div", *lines, class_="words"), class_="card")


def _slider(ended: Ended, up: str) -> Html:
    """Before over after, both out of one file, of which they are a third each."""
    strip, panel = _strip(ended), _panel(ended)
    if strip is None or panel is None:
        return tag("div", tag("p", "No preview", class_="away always"), class_="frame")
    source, name = link_to(strip, up), cut(ended.picture, _MOST_OF_A_NAME)
    slider = tag(
        "div",
        _third(source, "after", f"{name}, before and after"),
        _third(source, "before", ""),
        tag("span", class_="bar", aria_hidden="true"),
        _range(name),
        class_=f"slider {_shape(panel)}",
    )
    return tag(
        "div",
        slider,
        tag("span", "Before", class_="side one", aria_hidden="true"),
        tag("span", "After", class_="side other", aria_hidden="true"),
        tag("p", "The preview is no longer here", class_="away"),
        class_="frame",
    )


def _third(source: str, which: str, says: str) -> Html:
    return tag("img", class_=which, src=source, alt=says, loading="lazy", decoding="async")


def _range(name: str) -> Html:
    """What is dragged, or moved with the arrow keys; of use only where the script runs."""
    label = f"{name}: how much is shown as it was before, in percent"
    return tag("input", type="range", min=0, max=100, value=50, aria_label=label, hidden=True)


def _heading(ended: Ended) -> Html:
    folder, _, name = ended.picture.rpartition("/")
    lines = [tag("h3", name_of(name))]
    if folder:
        lines.insert(0, tag("p", "in ", name_of(folder), class_="quiet"))
    return joined(*lines)


def _told(ended: Ended) -> Html:
    told = _TASKS[ended.task]
    if ended.facts:
        if is_unchanged(ended.facts):
            told = "Unchanged"
        work = sum(time for step, time in ended.facts.seconds.items() if step != "wait")
        told += f" · {ended.facts.width} x {ended.facts.height} · {work:.1f} s"
    return tag("p", tag("span", told), " ", moment(ended.ended_at), class_="spread quiet")


def _files(ended: Ended, up: str) -> Html:
    links: list[str] = []
    for path in sorted(ended.outputs, key=lambda each: (each != ended.result, _rank(each))):
        says = text_of(_FILES[_rank(path)][1])
        shown = says if links else tag("strong", says)
        links += [tag("a", shown, href=link_to(path, up)), " "]
    return tag("p", *links, class_="files")


def _rank(path: str) -> int:
    endings = [ending for ending, _ in _FILES]
    return max(at for at, ending in enumerate(endings) if path.endswith(ending))


def _failed(ended: Ended) -> Html:
    return tag(
        "li",
        tag("div", _heading(ended), *failure(ended), class_="words"),
        class_="card failure",
    )


def failure(ended: Ended) -> list[Html]:
    """Why a picture could not be done, what to do about it, and where it lies."""
    if ended.report is None:
        return []
    trouble = ended.report.trouble(attempts=ended.attempts)
    lines = [
        tag("p", tag("b", "Could not be done: "), cut(trouble.sentence, MOST_OF_A_TEXT)),
        what_to_do(trouble.advice),
    ]
    if ended.note:
        lines.append(
            tag("p", "Its files lie in failed, with ", name_of(ended.note), class_="quiet")
        )
    return [*lines, tag("p", moment(ended.ended_at), class_="quiet")]
