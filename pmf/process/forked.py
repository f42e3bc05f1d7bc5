"""A process that was forked after its parent computed cannot compute; it gets an error.

The threads of JAX and of OpenMP do not survive a fork: the child would wait for them for ever, or
be killed. One that does not call us is not disturbed.
"""

import os

from pmf.errors import InputError

_started = False
_in_child = False


def computing() -> None:
    """Say before threads are used that they will be.

    Raises `InputError` in a process forked after that was said.
    """
    global _started
    if _in_child:
        raise InputError(
            "this process was forked after its parent had computed, and threads do not survive a "
            "fork; start it by multiprocessing.get_context('spawn'), or 'forkserver'"
        )
    if not _started:
        _started = True
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_mark)


def _mark() -> None:
    global _in_child
    _in_child = True
