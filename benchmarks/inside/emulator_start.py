"""A CPU of the emulator made, which enters ring 3 then: its first instruction there is a call."""

from time import perf_counter_ns as now

from pylitebox.south.emulator.platform import EmulatorPlatform

start = now()
platform = EmulatorPlatform(memory=1 << 30)
print(now() - start)
platform.close()
