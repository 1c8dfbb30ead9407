"""A step in a child that is limited, but not isolated: what a script does with rows needs no isolation to be seen."""

import os
from typing import Any

from base.process import Channel
from workers.sandbox.messages import StepOrder
from workers.sandbox.running import run_step


def step(channel: Channel, paths: list[str], order: StepOrder) -> dict[str, Any]:
    """Open the files, the last one to be written, and run the step."""
    inputs = [os.open(path, os.O_RDONLY) for path in paths[:-1]]
    output = os.open(paths[-1], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    return run_step(channel, (*inputs, output), order)
