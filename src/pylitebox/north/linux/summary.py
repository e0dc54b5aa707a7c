"""What a run's system calls came to: how many, how many failed, and how long the kernel worked on them (--summary).

The time is that of the handlers, without the way from the guest and back; waiting is not counted. Calls that the host
kernel runs (``native`` in the table) are not seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.north.linux import table

if TYPE_CHECKING:
    from pylitebox.kernel.task import Task
    from pylitebox.north.linux.personality import Personality

Args = tuple[int, int, int, int, int, int]


class Summary:
    """Counts by call number."""

    def __init__(self) -> None:
        self.calls: dict[int, int] = {}
        self.errors: dict[int, int] = {}
        self.time_ns: dict[int, int] = {}

    def install(self, personality: Personality) -> None:
        """Count from now on."""
        call = personality.syscall
        clock = personality.kernel.platform.monotonic_ns
        scheduler = personality.kernel.scheduler
        finish = scheduler.finish

        def syscall(task: Task, number: int, args: Args) -> int | None:
            begun = clock()
            result = call(task, number, args)
            self._count(number, clock() - begun, result)
            return result

        def finished(task: Task, result: int) -> None:
            if result < 0:
                self.errors[task.syscall_number] = self.errors.get(task.syscall_number, 0) + 1
            finish(task, result)

        personality.syscall = syscall  # type: ignore[method-assign]
        scheduler.finish = finished

    def _count(self, number: int, taken: int, result: int | None) -> None:
        self.calls[number] = self.calls.get(number, 0) + 1
        self.time_ns[number] = self.time_ns.get(number, 0) + taken
        if result is not None and -4095 <= result < 0:
            self.errors[number] = self.errors.get(number, 0) + 1

    def render(self) -> str:
        """The table, most time first, as strace -c prints it."""
        rows = table.numbers()
        total = sum(self.time_ns.values()) or 1
        lines = ["% time     seconds  usecs/call     calls    errors syscall"]
        lines.append("------ ----------- ----------- --------- --------- ----------------")
        for number in sorted(self.calls, key=lambda n: (-self.time_ns[n], n)):
            calls, taken, errors = self.calls[number], self.time_ns[number], self.errors.get(number, 0)
            name = rows[number].name if number in rows else f"syscall_{number} (not implemented)"
            lines.append(
                f"{taken * 100 / total:6.2f} {taken / 1e9:11.6f} {taken / calls / 1e3:11.1f} {calls:9} "
                f"{errors or '':>9} {name}"
            )
        lines.append("------ ----------- ----------- --------- --------- ----------------")
        lines.append(
            f"100.00 {sum(self.time_ns.values()) / 1e9:11.6f} {'':11} {sum(self.calls.values()):9} "
            f"{sum(self.errors.values()) or '':>9} total"
        )
        return "\n".join(lines) + "\n"
