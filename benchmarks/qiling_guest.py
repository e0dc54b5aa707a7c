"""``python qiling_guest.py PROGRAM ARG...``: run a program of the host under Qiling, for benchmarks.platforms.

Qiling emulates with Unicorn, as our emulator does, and answers calls by its own "posix" layer. It is asked for nothing
beyond that: no hooks, no output of its own. Its clock counts whole seconds, so programs in it are timed from outside.
"""

import sys

from qiling import Qiling
from qiling.const import QL_VERBOSE

guest = Qiling(sys.argv[1:], "/", verbose=QL_VERBOSE.OFF)
guest.run()
sys.exit(guest.os.exit_code)
