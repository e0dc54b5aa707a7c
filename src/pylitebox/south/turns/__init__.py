"""What platforms have in common whose guests run inside the supervisor, in turns on one CPU: kvm and the emulator.

A platform of this kind derives from :class:`TurnPlatform` and :class:`TurnThread`, and adds its CPU: how it is made a
thread's, how it runs until something happens, and what that was.
"""

from pylitebox.south.turns.platform import TurnPlatform
from pylitebox.south.turns.thread import NR_RT_SIGRETURN, Context, TurnProcess, TurnThread

__all__ = ["NR_RT_SIGRETURN", "Context", "TurnPlatform", "TurnProcess", "TurnThread"]
