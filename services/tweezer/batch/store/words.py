"""What the replicas of the service tell each other: only what somebody may wait for elsewhere."""

from typing import Final

CHANGED: Final = "changed"  #: batches whose state has changed, by identifier
