"""The `headwater` command. Each verb imports what it needs itself, so that `--help` answers at once."""

from __future__ import annotations

import asyncio
import gc
import sys
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import click

from base.credentials import generate_key
from base.errors import PlatformError
from base.settings import PREFIX, Settings, SettingsError
from base.tracing import configure_logging

SETTINGS_HELP = (
    "\b\nSettings, as environment variables (NAME_FILE names a file with the value):\n"
    + "\n".join(
        f"  {PREFIX}{field.name.upper()}\n      {field.metadata['doc']}"
        for field in fields(Settings)
    )
)
host_option = click.option("--host", help="Address to listen on.  [HEADWATER_HOST]")
port_option = click.option(
    "--port", type=click.IntRange(0, 65_535), help="Port to listen on.  [HEADWATER_PORT]"
)
data_option = click.option(
    "--data-dir", type=click.Path(path_type=Path), help="Data folder.  [HEADWATER_DATA_DIR]"
)


class Headwater(click.Group):
    """Turns expected failures into one line and exit code 2; nobody needs a traceback of those."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a verb."""
        try:
            return super().invoke(ctx)
        except SettingsError as error:
            fail(str(error))
        except PlatformError as error:
            fail(error.message, error.hint)


def fail(message: str, hint: str | None = None) -> NoReturn:
    """End the command with an error a person can act on."""
    click.echo(f"headwater: {message}", err=True)
    if hint:
        click.echo(f"  {hint}", err=True)
    sys.exit(2)


def load(**overrides: Any) -> Settings:
    """Settings of the environment and the command line; makes the data folder and the secrets kept in it."""
    from server.wiring import prepare

    given = {name: value for name, value in overrides.items() if value is not None}
    settings = prepare(replace(Settings.from_env(), **given))
    configure_logging(settings.log_level)
    return settings


def _run_api(*, embedded: bool, **overrides: Any) -> None:
    # What is imported lives for ever: to look through it again and again takes a fifth of the start.
    gc.disable()
    try:
        from server.processes import run_api

        run_api(load(**overrides), embedded=embedded)  # which collects, and turns it on again
    finally:
        gc.enable()


@click.group(
    cls=Headwater,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(package_name="headwater")
def main() -> None:
    """Headwater: connect data sources, sync them into snapshots, serve them over one GraphQL API."""


@main.command(epilog=SETTINGS_HELP)
@host_option
@port_option
@data_option
def serve(host: str | None, port: int | None, data_dir: Path | None) -> None:
    """Run everything in one command: migrations, the API, and a worker process."""
    _run_api(embedded=True, host=host, port=port, data_dir=data_dir)


@main.command(epilog=SETTINGS_HELP)
@host_option
@port_option
@data_option
def api(host: str | None, port: int | None, data_dir: Path | None) -> None:
    """Run one API process. Start as many as you like behind a proxy; migrate first."""
    _run_api(embedded=False, host=host, port=port, data_dir=data_dir)


@main.command(epilog=SETTINGS_HELP)
@click.option("--graphql-url", required=True, help="Where the GraphQL API is: http://…/graphql.")
@host_option
@port_option
@data_option
def gateway(graphql_url: str, host: str | None, port: int | None, data_dir: Path | None) -> None:
    """Run the REST dialects in a process of their own, over a GraphQL API that is elsewhere."""
    from server.apart import run_gateway

    run_gateway(load(host=host, port=port, data_dir=data_dir), graphql_url)


@main.command(epilog=SETTINGS_HELP)
@data_option
def worker(data_dir: Path | None) -> None:
    """Run one worker process. Start as many as you like; SIGTERM hands unfinished jobs on."""
    from server.operations import make_ready
    from server.worker import run_worker

    settings = load(data_dir=data_dir)
    asyncio.run(make_ready(settings, migrating=False))
    run_worker(settings)


@main.command()
@data_option
def migrate(data_dir: Path | None) -> None:
    """Bring the database's tables up to this version. Safe to repeat and to run at several places at once."""
    from server.operations import upgrade

    settings = load(data_dir=data_dir)
    applied = asyncio.run(upgrade(settings, click.echo))
    click.echo(
        f"{len(applied)} applied; the database is up to date."
        if applied
        else "The database is up to date."
    )


@main.command()
def schema() -> None:
    """Print the GraphQL schema."""
    from graph.schema import export

    click.echo(export(), nl=False)


@main.group()
def token() -> None:
    """Manage API tokens."""


@token.command("create")
@click.option(
    "--user",
    "username",
    default="admin",
    show_default=True,
    help="Whose token; made if not there yet.",
)
@click.option("--name", default="command line", show_default=True, help="What the token is for.")
@click.option(
    "--role",
    type=click.Choice(["READ", "EXECUTE", "WRITE", "ADMIN"]),
    default="ADMIN",
    show_default=True,
)
@click.option("--project", "project_id", help="Limit the token to one project's id.")
@click.option(
    "--expires-days", type=click.IntRange(1, 3650), help="Days until it expires; never if left out."
)
@data_option
def token_create(
    username: str,
    name: str,
    role: str,
    project_id: str | None,
    expires_days: int | None,
    data_dir: Path | None,
) -> None:
    """Create an API token and print it. It is shown this once; only its hash is kept."""
    from server.operations import create_token

    expires_at = datetime.now(UTC) + timedelta(days=expires_days) if expires_days else None
    settings = load(data_dir=data_dir)
    click.echo(asyncio.run(create_token(settings, username, name, role, project_id, expires_at)))


@main.group()
def keys() -> None:
    """Manage the keys that secrets are encrypted with."""


@keys.command("generate")
def keys_generate() -> None:
    """Print a new key for HEADWATER_SECRET_KEYS. Put it before the old ones, then rotate."""
    click.echo(generate_key())


@keys.command("rotate")
@data_option
def keys_rotate(data_dir: Path | None) -> None:
    """Re-encrypt every stored secret with the first key of HEADWATER_SECRET_KEYS. Safe to interrupt and repeat."""
    from server.operations import rotate_keys

    count = asyncio.run(rotate_keys(load(data_dir=data_dir), click.echo))
    click.echo(f"{count} secrets re-encrypted; keys after the first are no longer needed.")


@main.command()
@data_option
def doctor(data_dir: Path | None) -> None:
    """Check database, storage, broker, sandbox, clock and a download link, and say what to mend."""
    from server.doctor import examine

    healthy = asyncio.run(examine(load(data_dir=data_dir), click.echo))
    sys.exit(0 if healthy else 1)
