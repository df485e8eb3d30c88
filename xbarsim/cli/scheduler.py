"""`xbarsim scheduler`: the scheduler of a Dask cluster, for `xbarsim sweep --scheduler`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from xbarsim.cli.console import say

LOOPBACK = "127.0.0.1"


def scheduler(
    host: Annotated[
        str, typer.Option(help="Address to listen on: this machine alone unless it is stated.")
    ] = LOOPBACK,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one.")] = 8786,
    tls_ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Certificate of the authority.")
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Certificate of this scheduler.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its key.")] = None,
) -> None:
    """Start the scheduler of a Dask cluster, for sweeps.

    It runs until Ctrl-C; workers join it, and then a sweep uses it, each in a shell of its own.

    \b
    Examples:
      xbarsim scheduler
      dask worker tcp://127.0.0.1:8786 --nthreads 1
      xbarsim sweep mine.toml --out sweeps/mine --scheduler tcp://127.0.0.1:8786
    """
    from xbarsim.studies.cluster import require_dask

    require_dask()
    files = {"--tls-ca-file": tls_ca, "--tls-cert": tls_cert, "--tls-key": tls_key}
    given = {option: path for option, path in files.items() if path is not None}
    if given and len(given) < len(files):
        raise typer.BadParameter("give --tls-ca, --tls-cert and --tls-key together")
    protocol = "tls" if given else "tcp"
    if host != LOOPBACK and not given:
        say(
            f"whoever reaches port {port} of {host} can run any code as you: state --tls-ca, --tls-cert "
            "and --tls-key, or use a network that only you can reach"
        )
    words = ["--host", f"{protocol}://{host}", "--port", str(port), "--no-show"]
    words += ["--no-dashboard", "--dashboard-address", f"{LOOPBACK}:0"]
    for option, path in given.items():
        words += [option, str(path)]
    os.execv(sys.executable, [sys.executable, "-m", "distributed.cli.dask_scheduler", *words])
