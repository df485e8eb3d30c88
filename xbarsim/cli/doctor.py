"""`xbarsim doctor`: whether this installation is sound."""

from typing import TYPE_CHECKING, Annotated

import typer

from xbarsim.cli.console import hint, print_json
from xbarsim.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from xbarsim.base.installation import Finding


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check this installation, and say what to do.

    Python and packages, BLAS and threads, the cache and its disk, HDF5, compiled kernels against
    closed forms, extras.  The exit code is 1 if something is wrong.

    \b
    Examples:
      xbarsim doctor
      xbarsim doctor --json
    """
    from xbarsim.base.cache import cache_directory
    from xbarsim.base.installation import State, check_installation
    from xbarsim.base.workers import cores
    from xbarsim.circuit.self_test import check_apart

    found = list(check_installation(cache_directory(), cores()))
    if not as_json:
        _print(found)
    hint("compiling and trying kernels: half a minute the first time")
    computed = check_apart()
    wrong = sum(finding.state is State.WRONG for finding in (*found, *computed))
    if as_json:
        findings = [finding.to_json() for finding in (*found, *computed)]
        print_json({"sound": not wrong, "findings": findings})
    else:
        _print(computed)
        print(_verdict(wrong))
    if wrong:
        raise typer.Exit(ExitCode.FAILED)


def _print(findings: "list[Finding]") -> None:
    """A line for every finding, and one below it for what to do."""
    for finding in findings:
        print(f"{finding.state:<9}{finding.name:<15}{finding.found}")
        if finding.remedy:
            print(f"{'':<24}-> {finding.remedy}")


def _verdict(wrong: int) -> str:
    if wrong == 1:
        return "One thing is wrong: what to do stands below it."
    if wrong:
        return f"{wrong} things are wrong: what to do stands below them."
    return "This installation is sound."
