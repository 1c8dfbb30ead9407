"""Which way hints travel, by the broker that is set, so that they need nothing else to run.

embedded: datagrams on this machine. redis: its pub/sub. amqp: LISTEN and NOTIFY of the PostgreSQL that is there anyway.
"""

from __future__ import annotations

from base.settings import Settings
from services.progress.datagrams import Datagrams
from services.progress.transport import Transport

FOLDER = "watchers"


def transport_of(settings: Settings) -> Transport:
    """The way of these settings. It connects when it is first used."""
    if settings.is_embedded:
        return Datagrams(settings.data_dir / FOLDER)
    if settings.broker_url.startswith("redis"):
        from services.progress.channels import Channel  # noqa: PLC0415 - 7 MiB of a client

        return Channel(settings.broker_url)
    from services.progress.notifications import Notifications  # noqa: PLC0415 - 2 MiB of a client

    return Notifications(settings.effective_database_url)
