"""Memory of this process."""

import os
import resource
import sys
from pathlib import Path


def resident_bytes() -> int:
    """Bytes of memory that this process holds now; where the system does not say, at most so far."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return peak_bytes()
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak_bytes() -> int:
    """Bytes of memory that this process has held at most.

    Linux says it in VmHWM: what getrusage has there counts the process that started this one too.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        status = ""
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if sys.platform == "darwin":
        return peak
    return 1024 * peak
