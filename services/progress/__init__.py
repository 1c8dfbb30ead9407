"""Live progress: hints that a job has changed, from whoever changes it to whoever watches it.

A hint is best effort and says only "look": the job's row is the truth, and a poll of all that changed lately, shared by
all who watch in a process, finds what a lost hint was about.
"""

from services.progress.hub import FellBehind, Hub, News, Watch
from services.progress.publishing import changed, publish_by, stop_publishing
from services.progress.transport import Transport
from services.progress.transports import transport_of

__all__ = [
    "FellBehind",
    "Hub",
    "News",
    "Transport",
    "Watch",
    "changed",
    "publish_by",
    "stop_publishing",
    "transport_of",
]
