"""How to begin: what people read who have dropped nothing yet."""

from daemon.people.pages.elements import Html, joined, tag


def how_to_begin() -> Html:
    """What to put into the inbox, by an example, and where the result will be."""
    return joined(
        tag(
            "p",
            "Put a photo into the inbox, and beside it its mask: a picture of the same size, white "
            "where the photo shall be retouched and black elsewhere. Their names tell that they "
            "belong together: ",
            tag("b", "cat.jpg"),
            " and ",
            tag("b", "cat_mask.png"),
            ". Soon afterwards the retouched picture lies in the outbox, and is shown among the "
            "retouched pictures.",
        ),
        tag(
            "p",
            "To have something cut out, put a trimap there instead, ",
            tag("b", "cat_trimap.png"),
            ": white where it surely is, black where it surely is not, grey between.",
        ),
    )
