"""The fork server: a process with PyTorch loaded that does nothing but fork a worker for each trial.

Starting Python and importing PyTorch takes seconds, forking a process that has done so takes 10 ms. It ends with its
driver, however that ends: the kernel then closes the only other end of the control socket, and the server kills all
workers (with whatever they started) and goes. It never runs an estimator itself, so it has one thread, and no thread
pool or CUDA context that a fork would break.

Differs from the fork server of `multiprocessing`, in four things that were needed: it imports the driver's script once
instead of once a trial (and only where something is pickled from there), says in one line where that script has no
`__main__` guard, kills process groups, and goes with its driver, which the other does not while a worker is busy.
"""

from __future__ import annotations

import gc
import importlib
import os
import runpy
import selectors
import signal
import socket
import sys
import types
from collections.abc import Sequence
from contextlib import suppress
from typing import final

from morphogen.executors import worker
from morphogen.executors.wire import Launch, Main, receive, tell

__all__ = ["MAIN", "ROLE", "serve"]

MAIN = "__mp_main__"
"""What a script's `__name__` is in here, so that code under `if __name__ == "__main__":` does not run."""
ROLE = "MORPHOGEN_FORK_SERVER"
"""Set in the environment of the fork server, and only there: a script that it imports must not start a search."""


def serve(control: int, answers: int, lifeline: int, preload: Sequence[str]) -> None:
    """Be the fork server until the control socket ends.

    Args:
        control: Descriptor of the socket on which the driver orders.
        answers: Descriptor of the pipe to the driver, for JSON lines.
        lifeline: Descriptor of a pipe that ends with the driver, for the workers to watch.
        preload: Modules to import first.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to act on
    try:
        for name in preload:
            importlib.import_module(name)
    except ImportError as error:
        tell(answers, {"broken": f"{name} cannot be imported ({error}): install it, or leave it out of `preload`"})
        return
    gc.freeze()  # what is here now is shared by all workers, and no collection of theirs shall copy it
    tell(answers, {"ready": os.getpid()})
    _Server(socket.socket(fileno=control), answers, lifeline).run()


@final
class _Server:
    def __init__(self, control: socket.socket, answers: int, lifeline: int) -> None:
        self._control, self._answers, self._lifeline = control, answers, lifeline
        self._pids: dict[int, int] = {}  # trial -> process
        self._estimators: dict[int, bytes] = {}
        self._main: Main | None = None
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._waker, False)

    def run(self) -> None:
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while True:
                ready = {key.fd for key, _ in selector.select()}
                if self._woken in ready:
                    os.read(self._woken, 4096)
                    self._reap()
                if self._control.fileno() in ready and not self._obey():
                    break
        for pid in self._pids.values():
            _kill(pid)

    def _obey(self) -> bool:
        """Do what the driver says; False where it is gone."""
        try:
            message, fds = receive(self._control, 2)
        except ConnectionResetError:
            return False
        if isinstance(message, Launch):
            self._launch(message, *fds)
        elif isinstance(message, int) and (pid := self._pids.get(message)) is not None:
            _kill(pid)
        for fd in fds:
            os.close(fd)
        return message is not None

    def _launch(self, launch: Launch, messages: int, output: int) -> None:
        if launch.main is not None and launch.main != self._main:
            if (refusal := _import_main(launch.main)) is not None:
                tell(self._answers, {"trial": launch.trial, "refused": refusal})
                return
            self._main = launch.main
        if launch.pickled is not None:
            self._estimators[launch.estimator] = launch.pickled
            for name in launch.modules:
                with suppress(Exception):  # the trial will fail with the same error, and say so
                    importlib.import_module(name)
            gc.freeze()
        self._estimators = {n: pickled for n, pickled in self._estimators.items() if n in launch.alive}
        pid = os.fork()
        if pid == 0:
            try:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                self._control.close()
                for fd in (self._answers, self._woken, self._waker):
                    os.close(fd)
                os.environ.pop(ROLE, None)
                os.chdir(launch.folder)
                worker.run(self._estimators[launch.estimator], launch, messages, output, self._lifeline)
            finally:
                os._exit(1)  # a worker never comes back into this loop
        with suppress(ProcessLookupError, PermissionError):
            os.setpgid(pid, pid)  # the worker does so, too: whoever comes first
        self._pids[launch.trial] = pid
        tell(self._answers, {"trial": launch.trial, "pid": pid})

    def _reap(self) -> None:
        for trial, pid in list(self._pids.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._pids[trial]
                _kill(pid)  # the processes that it started and left
                tell(self._answers, {"trial": trial, "exit": os.waitstatus_to_exitcode(status)})


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _import_main(main: Main) -> str | None:
    """Import the driver's script under another name; what is wrong with it, if anything."""
    sys.argv = list(main.argv)
    module = types.ModuleType(MAIN)
    script = main.path or f"python -m {main.name}"
    try:
        if main.name is not None:
            found = runpy.run_module(main.name, run_name=MAIN, alter_sys=True)
        else:
            found = runpy.run_path(str(main.path), run_name=MAIN)
    except (Exception, SystemExit) as error:  # a script can fail in any way, and the server must live on
        return (
            f"a worker imports {script} to find your estimator, and that failed: {type(error).__name__}: {error}. "
            "Put what it runs under `if __name__ == '__main__':`, or the estimator into a module of its own"
        )
    module.__dict__.update(found)
    sys.modules["__main__"] = sys.modules[MAIN] = module
    return None
