"""Every executor keeps the laws of executors."""

from morphogen.executors import Inline, Processes, Virtual
from morphogen.protocols import Executor
from morphogen.testing.executor import ExecutorSuite


class TestInline(ExecutorSuite):
    def make(self, workers: int) -> Executor:
        made: Executor = Inline()
        return made


class TestVirtual(ExecutorSuite):
    def make(self, workers: int) -> Executor:
        made: Executor = Virtual(workers)
        return made


class TestProcesses(ExecutorSuite):
    def make(self, workers: int) -> Executor:
        made: Executor = Processes(workers, preload=())
        return made
