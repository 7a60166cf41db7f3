"""What is remarked of results: on its card what became of a picture, once on a page what is to be
known of a model, and folded away how a picture was made."""

from collections.abc import Iterable
from typing import Final

from daemon.people.pages.elements import Html, cut, joined, tag
from daemon.spool.entries import Ended, Facts

_OF_A_MODEL: Final = "the model: "
# That stands on the card as well, and stands out: the result is good for nothing.
_OF_NO_MODEL: Final = "the model is UNTRAINED"
_UNCHANGED: Final = "the mask marks nothing"
# Notes on how it was done. All others say something of the result, and are not folded away.
_OF_THE_WAY: Final = (
    "filled in ",
    "cut out in ",
    "the trimap was made from the mask",
    "inside the edge the band is",
    "outside the edge the band is",
    "the hole is what was wholly transparent",
    "worked on the CPU",
    "in windows smaller than usual",
    "in batches of ",
)
_MOST_NOTES: Final = 8
_MOST_OF_A_NOTE: Final = 300


def is_unchanged(facts: Facts) -> bool:
    """Whether nothing was done to the picture, since nothing was asked for."""
    return any(note.startswith(_UNCHANGED) for note in facts.notes)


def of_picture(facts: Facts) -> Html:
    """What is to be known of this result."""
    notes = [note for note in facts.notes if not note.startswith((_OF_A_MODEL, *_OF_THE_WAY))]
    shown = [
        tag(
            "p",
            cut(note, _MOST_OF_A_NOTE),
            class_=f"{'warning' if note.startswith(_OF_NO_MODEL) else 'remark'} sentence",
        )
        for note in notes[:_MOST_NOTES]
    ]
    return joined(*shown, *_more(len(notes), "p"))


def how_made(facts: Facts) -> Html:
    """By which model and how, for those who ask."""
    notes = [note for note in facts.notes if note.startswith((_OF_A_MODEL, *_OF_THE_WAY))]
    made = [f"by {facts.model}, on {facts.device}", *notes[:_MOST_NOTES]]
    items = [tag("li", cut(note, _MOST_OF_A_NOTE), class_="sentence") for note in made]
    items += _more(len(notes), "li")
    return tag("details", tag("summary", "How it was made"), tag("ul", *items))


def of_models(entries: Iterable[Ended]) -> Html:
    """What is to be known of the models that made these, each said once."""
    models: dict[str, dict[str, None]] = {}
    for facts in (ended.facts for ended in entries if ended.facts):
        for note in facts.notes:
            if note.startswith(_OF_A_MODEL):
                models.setdefault(note, {})[f"by {facts.model}"] = None
    shown = [
        tag("p", cut(f"Made {'; '.join(by)}: {note[len(_OF_A_MODEL) :]}", _MOST_OF_A_NOTE))
        for note, by in models.items()
    ]
    if not shown:
        return Html("")
    said = joined(*shown[:_MOST_NOTES], *_more(len(shown), "p"))
    return tag("aside", said, class_="remark")


def _more(count: int, element: str) -> list[Html]:
    """That the log has more than is shown."""
    left = count - _MOST_NOTES
    return [tag(element, f"{left} more in the log", class_="quiet")] if left > 0 else []
