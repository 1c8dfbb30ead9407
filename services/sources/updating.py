"""Changing a connected source; its secret stays with the place that it was entered for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import connectors
from base.errors import Conflict, InvalidInput
from models import DataSource, DataSourceStatus, DataSourceType, Project
from models.database import transaction
from services import dispatch, jobs, uploads, values
from services.access import Viewer, find
from services.platform import Platform
from services.sources.connections import Checked, FileGiven, Given, check, key_place
from services.sources.fetching import FETCHED, NAMED
from services.sources.holding import held
from services.sources.names import refuse_taken
from services.sources.policies import POLICIES, policy
from services.sources.sealing import seal, unseal
from services.sources.selections import are_read_alike, selections

OVERRIDES = ("delimiter", "encoding", "column_types")  # of what is found out about a file
_SECRET_FIELDS = {DataSourceType.DATABASE: "password", DataSourceType.API: "auth"}


@dataclass(frozen=True, slots=True)
class Updated:
    """Key of the source, and of its sync where what is read changed."""

    source_pk: int
    job_pks: list[int]


async def update(
    platform: Platform,
    viewer: Viewer,
    source_id: str,
    changes: Mapping[str, Any],
    *,
    sync: bool = True,
    unique_name: bool = False,
) -> Updated:
    """Change the given ones of `name`, `metadata`, `connection` (a `Given`), `tables` and the policies.

    A new connection replaces the whole old one, but a file without a place is the stored one, and what was said of a
    file and is not said anew stays. A secret may be left out only where every setting stays the same, or where it is
    dropped: a stored secret is never sent to a place that it was not entered for. Whatever changes what is read starts
    a running sync over, or queues one (`sync`). A draft is one until a file comes.
    With `unique_name` Conflict is raised where another source of the project has the new name.
    """
    source = await find(viewer, DataSource, source_id, field="input.id")
    new = _plain(changes)
    checked: Checked | None = None
    if "connection" in changes:
        checked = await _checked(platform, source, _required(changes["connection"]))
    source_pk: int = source.id
    project_pk: int = source.project_id  # type: ignore[attr-defined]
    job_pks: list[int] = []
    async with transaction():
        if unique_name and "name" in new:
            await refuse_taken(project_pk, {new["name"]: "input.name"}, besides=source_pk)
        now = await held(source_pk)
        if checked is not None:
            _refuse_overtaken(source, now)
            new |= _reconnected(platform, now, checked)
            key = checked.settings.get("object_key")
            if key is not None and key != now.settings.get("object_key"):
                place = key_place(changes["connection"], "input.connection")
                await uploads.hold(project_pk, {key: place})
        if _is_read_anew(now, new):
            new["generation"] = now.generation + 1
        if new:
            await DataSource.filter(id=source_pk).update(**new, updated_at=datetime.now(UTC))
        if _is_other(now, new):
            job_pks = await _synced_anew(source_pk, viewer.user_id, queue=sync)
    if job_pks:
        await dispatch.wake()
    return Updated(source_pk, job_pks)


async def _synced_anew(source_pk: int, user_pk: int, *, queue: bool) -> list[int]:
    """The sync of what was changed; none of a draft, or where none is to be queued."""
    changed = await DataSource.get(id=source_pk)
    if changed.status is DataSourceStatus.DRAFT:
        return []
    started = await jobs.sync_anew(changed, user_pk, queue=queue)
    return [] if started is None else [started.id]


def _plain(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that change, those of the connection apart."""
    new = {name: policy(name, changes[name], "input") for name in POLICIES if name in changes}
    if "name" in changes:
        new["name"] = values.name(changes["name"], "input.name")
    if "metadata" in changes:
        new["metadata"] = values.document_or_empty(changes["metadata"], "input.metadata")
    if "tables" in changes:
        new["selections"] = selections(changes["tables"], "input.tables")
    return new


async def _checked(platform: Platform, source: DataSource, given: Given) -> Checked:
    """The connection, a file's with what is kept of the old one."""
    project = await Project.get(id=source.project_id)  # type: ignore[attr-defined]
    place = "input.connection"
    if not isinstance(given, FileGiven) or source.type is not DataSourceType.FILE:
        return await check(platform, project, given, place)
    is_draft = source.status is DataSourceStatus.DRAFT
    given = _placed(platform, given, source)
    url = unseal(platform.keyring, source)["url"] if source.settings.get("url") else None
    if url is not None and given.url == url and given.file_name is None:
        given = replace(given, file_name=source.settings.get(NAMED))
    checked = await check(platform, project, given, place, drafts=is_draft)
    is_there = url is not None and checked.secrets.get("url") == url
    is_there = is_there and checked.settings.get(NAMED) == source.settings.get(NAMED)
    kept = {
        name: source.settings[name]
        for name in OVERRIDES
        if name in source.settings and name not in given.dropped and getattr(given, name) is None
    }
    # Where it is another format, there are other things to say.
    if kept and (is_there or is_draft or checked.kind == source.kind):
        checked = await check(platform, project, replace(given, **kept), place, drafts=is_draft)
    return _as_fetched(source, checked) if is_there else checked


def _as_fetched(source: DataSource, checked: Checked) -> Checked:
    """A file at the URL and of the name that it had: what is stored of it is read anew unless it changed there."""
    fetched = {
        name: source.settings[name] for name in ("file_name", *FETCHED) if name in source.settings
    }
    if "object_key" not in fetched:
        return checked
    said = {name: checked.settings[name] for name in OVERRIDES if name in checked.settings}
    try:
        connectors.parse(source.kind, said | {"object_key": fetched["object_key"]})
    except InvalidInput as error:
        error.field = "input.connection.file"
        raise
    return replace(checked, kind=source.kind, settings=checked.settings | fetched)


def _placed(platform: Platform, given: FileGiven, source: DataSource) -> FileGiven:
    """The file that is meant: the stored one where no other is named."""
    if given.url is not None or given.object_key is not None:
        return given
    if source.settings.get("url"):  # what is shown of it may not be all of it
        return replace(given, url=unseal(platform.keyring, source)["url"])
    key = source.settings.get("object_key")
    return replace(given, object_key=key) if key else given


def _refuse_overtaken(was: DataSource, now: DataSource) -> None:
    """What is kept of a connection is kept of the one that was looked at."""
    if (was.kind, was.settings, was.secrets) != (now.kind, now.settings, now.secrets):
        raise Conflict(
            "The connection of the data source was just changed by another request.",
            hint="Look at it, and send the change again.",
            field="input.connection",
        )


def _is_other(now: DataSource, new: Mapping[str, Any]) -> bool:
    """Whether a sync would read something else."""
    return any(
        name in new and new[name] != getattr(now, name)
        for name in ("kind", "settings", "selections")
    )


def _is_read_anew(now: DataSource, new: Mapping[str, Any]) -> bool:
    """Whether rows that a sync reads from now on may not stand beside the stored ones.

    Another file of the same form may: it is how the data of a file changes.
    """
    if not are_read_alike(now.selections, new.get("selections", now.selections)):
        return True
    if new.get("kind", now.kind) != now.kind:
        return True
    before, after = now.settings, new.get("settings", now.settings)
    if now.type is DataSourceType.FILE:
        return any(before.get(name) != after.get(name) for name in OVERRIDES)
    stored = {"object_key", "file_name"}
    return {k: v for k, v in before.items() if k not in stored} != {
        k: v for k, v in after.items() if k not in stored
    }


def _reconnected(platform: Platform, now: DataSource, checked: Checked) -> dict[str, Any]:
    """The columns that a new connection changes."""
    if checked.type is not now.type:
        raise Conflict(
            f"The data source is a {now.type.name}; it cannot become a {checked.type.name}.",
            hint="Connect a new data source.",
            field="input.connection",
        )
    new: dict[str, Any] = {"kind": checked.kind, "settings": checked.settings}
    if now.status is DataSourceStatus.DRAFT and not checked.is_draft:
        new["status"] = DataSourceStatus.PENDING
    if checked.secrets:
        return new | {"secrets": seal(platform.keyring, now.id, checked.secrets)}
    if (checked.kind, checked.settings) == (now.kind, now.settings):
        return new
    if checked.type is DataSourceType.FILE or _drops_all(now, checked):  # a file: none at a URL now
        return new | {"secrets": None}
    if now.secrets is not None:
        setting = _SECRET_FIELDS.get(checked.type)
        raise InvalidInput(
            "The connection changed, so its secret has to be entered again.",
            hint="A stored secret is never sent to a place that it was not entered for.",
            field=f"input.connection.{checked.type.value}" + (f".{setting}" if setting else ""),
        )
    return new


def _drops_all(now: DataSource, checked: Checked) -> bool:
    """Whether the user said of each setting with a stored secret that it goes."""
    holding = {name for name in ("auth", "headers") if now.settings.get(name)}
    return checked.type is DataSourceType.API and holding <= set(checked.dropped)


def _required(connection: Given | None) -> Given:
    if connection is None:
        raise InvalidInput("A data source always has a connection.", field="input.connection")
    return connection
