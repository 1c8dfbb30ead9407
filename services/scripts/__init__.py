"""Scripts: Python that users bring for a data source, those that ship with Headwater, and the jobs that run them."""

from services.scripts.keys import KEY_CHARS_MAX, PREDEFINED
from services.scripts.planning import STEPS_MAX, StepGiven, TableWanted, check_steps, plan
from services.scripts.sharing import PARTITIONS_MAX, shares
from services.scripts.shipped import install_predefined
from services.scripts.starting import again, create, shared_out, start
from services.scripts.storing import BODY_BYTES_MAX, SCRIPTS_MAX, delete, upload

__all__ = [
    "BODY_BYTES_MAX",
    "KEY_CHARS_MAX",
    "PARTITIONS_MAX",
    "PREDEFINED",
    "SCRIPTS_MAX",
    "STEPS_MAX",
    "StepGiven",
    "TableWanted",
    "again",
    "check_steps",
    "create",
    "delete",
    "install_predefined",
    "plan",
    "shared_out",
    "shares",
    "start",
    "upload",
]
