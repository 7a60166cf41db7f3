"""What people see who have only the share: pages in the outbox, beside the results.

`index.html` shows the newest results, the numbered pages in `gallery/` all of them, `status.html`
what is going on. They are files and need no server. Everything in them that comes from outside,
such as a file's name, goes through `elements` and can't be anything but text.
"""

from daemon.people.pages.gallery import Gallery
from daemon.people.pages.keeping import Keeping, kept_pages

__all__ = ["Gallery", "Keeping", "kept_pages"]
