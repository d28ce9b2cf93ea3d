"""What the replicas of the service tell each other: only what somebody may wait for elsewhere."""

from typing import Final

JOBS_READY: Final = "jobs_ready"  #: there may be something to lease
RELEASED: Final = "released"  #: held jobs were released
STOPS: Final = "stops"  #: leases whose work must stop, by token
STOPPED: Final = "stopped"  #: cancelled jobs whose work has ended, by identifier
