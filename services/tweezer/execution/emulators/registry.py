"""Which function emulates which device type.

The functions are named, not imported: an emulator's module is imported in worker processes only.
"""

import importlib
from collections.abc import Callable, Mapping
from typing import Final

from tweezer.execution.emulators.task import Task

#: Takes percentages of a task that is under way.
Report = Callable[[int], None]

#: Runs a task and returns its result file, a JSON object; raises JobError when the job is wrong.
Emulator = Callable[[Task, Report], bytes]

#: Module and function of each device type.
EMULATORS: Final[Mapping[str, str]] = {
    "EMU_FREE": "tweezer.execution.emulators.free:emulate",
    "EMU_FRESNEL": "tweezer.execution.emulators.qpu:emulate_qpu",
    "FRESNEL": "tweezer.execution.emulators.qpu:run_qpu",
    "FRESNEL_CAN1": "tweezer.execution.emulators.qpu:run_qpu",
}


def module_of(name: str) -> str:
    """Returns the module in `module:function`."""
    return name.partition(":")[0]


def load_emulator(name: str) -> Emulator:
    """Imports the function named as `module:function`."""
    module, _, function = name.partition(":")
    emulator: Emulator = getattr(importlib.import_module(module), function)
    return emulator
