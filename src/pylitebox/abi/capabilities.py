"""Capabilities (linux/capability.h): the layout of capget(2) and capset(2)."""

_LINUX_CAPABILITY_VERSION_3 = 0x20080522

#: The highest capability that this file knows of; a host may have more (see /proc/sys/kernel/cap_last_cap).
CAP_CHECKPOINT_RESTORE = 40
