"""All feeders, in the order of the table."""

from typing import Final

from feeding import Behaviour, Feeder
from ftp_feeders import ROWS as FTP
from mount_feeders import ROWS as MOUNTS
from openssh_feeders import ROWS as OPENSSH
from rsync_feeders import ROWS as RSYNC
from samba_feeders import ROWS as SAMBA
from syncthing_feeder import ROWS as SYNCTHING

ROWS: Final[tuple[type[Feeder], ...]] = (*SAMBA, *FTP, *OPENSSH, *RSYNC, *SYNCTHING, *MOUNTS)


def rows_that_can(behaviour: Behaviour) -> list[type[Feeder]]:
    """The feeders that do not say why they can't."""
    return [row for row in ROWS if behaviour not in row.cannot]
