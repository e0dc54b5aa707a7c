"""The native platform: guests are host processes under a seccomp filter whose calls are notified to this process.

- ``guest/``       the stub, the only code of ours inside guest processes
- ``surface.py``   every host call of every role, with its condition and reason; ``filters.py`` compiles it
- ``platform.py``  the notification loop; ``launch.py`` starts guardian and template
- ``thread.py``    guest threads and processes; ``memory.py`` their memory; ``context.py`` their registers
- ``placement.py``  which CPUs all of them run on
- ``buffers.py``, ``streams.py``  shared memory and console streams
"""
