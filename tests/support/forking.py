# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A server that runs programs in processes forked from its own, which has imported already what they need.

A connection carries one request, {arguments, environment, directory} as Python writes it, with the descriptors for standard input, output and error,
and gets two answers: the process ID, and once the process has terminated its exit code (negative: the signal).
"""

from __future__ import annotations

import ast
import contextlib
import gc
import os
import select
import socket
import sys

LARGEST = 1 << 20


def serve(listener, program):
    """Serve connections until the standard input closes.

    Args:
        listener: a listening socket (SOCK_SEQPACKET).
        program: called without arguments in a process that has what a new one with that request would have.
    """
    gc.collect()
    gc.freeze()  # or each fork's garbage collections would copy all pages
    running = {}
    while sys.stdin not in (ready := select.select([listener, sys.stdin, *running], [], [])[0]):
        for process in set(ready) & set(running):
            pid, connection = running.pop(process)
            os.close(process)
            with contextlib.suppress(OSError), connection:  # whoever asked may be gone
                connection.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())
        if listener in ready:
            connection, _address = listener.accept()
            content, descriptors, _flags, _address = socket.recv_fds(connection, LARGEST, 3)
            pid = os.fork()
            if not pid:
                for inherited in (listener, connection, *(other for _pid, other in running.values())):
                    inherited.close()
                become(ast.literal_eval(content.decode()), descriptors)
                program()
                sys.exit()
            for descriptor in descriptors:  # whoever reads the output waits until all have closed it
                os.close(descriptor)
            connection.send(str(pid).encode())
            running[os.pidfd_open(pid)] = pid, connection


def become(request, descriptors):
    """Make this process what a new one with that request would be."""
    for descriptor, standard in zip(descriptors, range(3)):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["directory"])
    sys.argv[:] = request["arguments"]
