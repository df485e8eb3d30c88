"""What a command's exit status says; docs/cli.md lists it for users."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit status of every command of xbarsim."""

    DONE = 0  # all that was asked for was done
    FAILED = 1  # done, but something that was looked at failed: points of a sweep, a check
    WRONG = 2  # an option, an argument or a file that cannot be used, or a place to write to
    FAULT = 70  # a fault of xbarsim itself
    INTERRUPTED = 130  # Ctrl-C
    PIPE = 141  # who read the output went away, as in `xbarsim study default | head`
