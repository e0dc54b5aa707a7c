"""A virtual machine made, and its self-test, which is part of each start and enters ring 3 five times."""

from time import perf_counter_ns as now

from pylitebox.south.kvm.platform import KvmPlatform

start = now()
platform = KvmPlatform(memory=1 << 30)
platform.examine()
print(now() - start)
platform.close()
