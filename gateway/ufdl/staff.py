"""The one rule that is this dialect's own."""

from __future__ import annotations

from gateway.call import Call
from gateway.failures import Failure


async def require_staff(call: Call) -> None:
    """Raise Failure (forbidden) unless the caller is staff.

    GraphQL lets a team bring back its projects and everybody make a team; clients of this dialect know both as the
    staff's. Runs `IsStaff`.
    """
    if not (await call.run("IsStaff", {}))["viewer"]["isStaff"]:
        raise Failure("FORBIDDEN", "This is for staff.")
