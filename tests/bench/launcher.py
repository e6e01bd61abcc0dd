# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs a program and writes what it took: `launcher.py FILE PROGRAM ARGUMENTS…`.

Linux counts the memory of whoever starts a program as the program's own peak, so that a small process has to start it.
"""

import os
import sys
import time

started = time.monotonic()
_pid, status, usage = os.wait4(os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ), 0)
seconds = time.monotonic() - started
with open(sys.argv[1], "w") as sink:
    sink.write(f"{seconds} {usage.ru_utime + usage.ru_stime} {usage.ru_maxrss << 10}")
sys.exit(min(abs(os.waitstatus_to_exitcode(status)), 255))
