"""What the system says it is: uname(2) and /proc/version agree by taking it from here.

The release is that of the Linux whose behaviour is followed; programs compare its first numbers.
"""

OSTYPE = b"Linux"
OSRELEASE = b"6.1.0-pylitebox"
VERSION = b"#1 SMP PREEMPT_DYNAMIC pylitebox"
