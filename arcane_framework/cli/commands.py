"""What `arcane` understands: the arguments, the order of things, and how errors look."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from arcane_framework._core.errors import ArcaneError
from arcane_framework.cli import state_text
from arcane_framework.cli.accepted_losses import accept_losses
from arcane_framework.cli.graph_picture import draw
from arcane_framework.cli.stream_report import read_report, stream_ids, verify
from arcane_framework.hosting.environment import storage_settings
from arcane_framework.hosting.redaction import redact
from arcane_framework.storage import StorageOpener


def run(arguments: Sequence[str]) -> int:
    """Run the command; an error is one line on standard error and exit code 1."""
    try:
        code = arcane.main(args=list(arguments) or ["--help"], prog_name="arcane", standalone_mode=False)
    except click.ClickException as error:
        return _fail(error.format_message())
    except click.Abort:
        return _fail("interrupted")
    except ArcaneError as error:
        return _fail(str(error))
    except BrokenPipeError:
        # The reader has seen enough (`| head`); Python would complain about it once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code if isinstance(code, int) else 0


def _fail(message: str) -> int:
    print(f"arcane: {redact(' '.join(message.split()))}", file=sys.stderr)
    return 1


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def arcane() -> None:
    """Look at streams."""


@arcane.command(short_help="Show where streams are, and verify their parts.")
@click.argument("location")
@click.option("--stream-id", metavar="ID", help="The stream; without it the streams of LOCATION are listed.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--verify", "verified", is_flag=True, help="Check that all committed parts are there; exit code 1 if not."
)
@click.option("--parts", "with_parts", is_flag=True, help="List the committed parts.")
@click.option("--commits", "with_commits", is_flag=True, help="List the commits.")
@click.option(
    "--accept-loss",
    "lost",
    multiple=True,
    metavar="PART",
    help="Go on without a committed part that is gone: the decision is written into the log. May be repeated.",
)
def state(
    location: str,
    stream_id: str | None,
    as_json: bool,
    verified: bool,
    with_parts: bool,
    with_commits: bool,
    lost: tuple[str, ...],
) -> int:
    """Show where the stream ID below LOCATION, its sink's location, is: what its commit log says."""
    if stream_id is None and (verified or with_parts or with_commits or lost):
        raise click.UsageError("--verify, --parts, --commits and --accept-loss are about one stream: give --stream-id")
    storage = StorageOpener(settings=storage_settings(os.environ))(location)
    if stream_id is None:
        listed = [read_report(storage, name) for name in stream_ids(storage)]
        click.echo(state_text.list_as_json(listed) if as_json else state_text.list_as_text(listed))
        return 0
    report = read_report(storage, stream_id)
    if lost:
        click.echo(state_text.accepted(*accept_losses(storage, report, lost)))
        return 0
    problems = verify(storage, report) if verified else None
    shown = state_text.Shown(parts=with_parts, commits=with_commits)
    click.echo(state_text.as_json(report, problems, shown) if as_json else state_text.as_text(report, problems, shown))
    return 1 if problems else 0


@arcane.command(short_help="Draw the graph of a plugin.")
@click.argument("plugin", metavar="MODULE:BUILDER")
@click.option("--spec", type=click.Path(path_type=Path), metavar="FILE", help="The stream's spec, YAML or JSON.")
@click.option("--backfill", is_flag=True, help="Draw the graph of a backfill.")
def graph(plugin: str, spec: Path | None, backfill: bool) -> int:
    """Print the graph of a plugin as a Mermaid flowchart; nothing is run."""
    click.echo(draw(plugin, spec, backfill=backfill, environ=os.environ), nl=False)
    return 0
