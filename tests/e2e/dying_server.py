"""The `headwater` command, ended by SIGKILL once, right before a step of the completion of an upload.

`python dying_server.py <step> <flag> headwater serve`: the step is an audit event of a file below `.parts`, or `committed`;
the flag is a file that says that the process has yet to die. It runs without the superuser's right to ignore the modes of
files, so that it meets them as any user does.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import runpy
import signal
import sys
from pathlib import Path
from typing import Any

from services import part_uploads

COMMITTED = "committed"
_PR_CAPBSET_DROP, _PR_CAP_AMBIENT = 24, 47
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2
_DROPPED = "TESTS_CAPABILITIES_DROPPED"


def main() -> None:
    """Run the command that is given."""
    if _DROPPED not in os.environ:
        libc = ctypes.CDLL(None)
        for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
            libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)  # refused, and needless, for a user
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {_DROPPED: "1"})
    step, flag, command, *rest = sys.argv[1:]
    _arm(step, Path(flag))
    sys.argv = [command, *rest]
    runpy.run_path(command, run_name="__main__")


def _arm(step: str, flag: Path) -> None:
    def die() -> None:
        with contextlib.suppress(FileNotFoundError):
            flag.rename(flag.with_suffix(".died"))
            os.kill(os.getpid(), signal.SIGKILL)

    if step == COMMITTED:
        finished = part_uploads._finished

        async def dying(row_id: int) -> Any:
            die()
            return await finished(row_id)

        part_uploads._finished = dying
        return

    def heard(event: str, args: tuple[Any, ...]) -> None:
        if event == step and "/.parts/" in str(args[0]):
            die()

    sys.addaudithook(heard)


if __name__ == "__main__":
    main()
