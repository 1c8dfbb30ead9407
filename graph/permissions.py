"""What an operation needs, declared at its root field and checked before its resolver runs."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any

from strawberry.extensions import FieldExtension
from strawberry.extensions.field_extension import AsyncExtensionResolver, SyncExtensionResolver
from strawberry.types import get_object_definition

from models import Role

NEEDS = "headwater.needs"


class Permission(Enum):
    """What is not a role in a team."""

    ANYONE = "anyone"
    SIGNED_IN = "signed in"
    STAFF = "staff"


# ANYONE: no token needed. SIGNED_IN: any token. STAFF: a staff user's token with the role ADMIN.
# A Role: a token of at least that role; `services.access.find` then asks for it in the object's team.
Needs = Role | Permission
ANYONE, SIGNED_IN, STAFF = Permission.ANYONE, Permission.SIGNED_IN, Permission.STAFF


class Guard(FieldExtension):
    """Refuses an operation before its resolver runs, whatever the resolver does or forgets."""

    def __init__(self, needs: Needs) -> None:
        self.needs = needs

    def resolve(self, next_: SyncExtensionResolver, source: Any, info: Any, **kwargs: Any) -> Any:
        """Check, then resolve."""
        info.context.admit(self.needs)
        return next_(source, info, **kwargs)

    async def resolve_async(
        self, next_: AsyncExtensionResolver, source: Any, info: Any, **kwargs: Any
    ) -> Any:
        """Check, then resolve."""
        info.context.admit(self.needs)
        return await next_(source, info, **kwargs)


def undeclared(root: type) -> Iterator[str]:
    """Names of the fields of a root type that declare no permission; the schema refuses to be built with any."""
    definition = get_object_definition(root, strict=True)
    for field in definition.fields:
        guarded = any(isinstance(extension, Guard) for extension in field.extensions)
        if NEEDS not in field.metadata or not guarded:
            yield f"{definition.name}.{field.python_name}"
