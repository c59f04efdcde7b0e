"""Peak memory of a stretch of work."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from types import TracebackType
from typing import ClassVar

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


class PeakMemory:
    """Context manager that measures the peak resident memory of the process inside it, in ``peak`` bytes.

    Linux lets a process reset its high-water mark; elsewhere the peak since the process started is what can be had.
    """

    peak: int = 0
    _open: ClassVar[list[PeakMemory]] = []

    @classmethod
    def is_running(cls) -> bool:
        """Whether a stretch is being measured, so that what is inside it is to be measured, too."""
        return bool(cls._open)

    def __enter__(self) -> PeakMemory:
        # The reset below would hide what the enclosing stretches have reached so far.
        for outer in self._open:
            outer.peak = max(outer.peak, _high_water_mark())
        self._open.append(self)
        with contextlib.suppress(OSError):
            _CLEAR.write_text("5")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.remove(self)
        self.peak = max(self.peak, _high_water_mark())


def _high_water_mark() -> int:
    try:
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
