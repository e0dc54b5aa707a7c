"""pylitebox as a library: a kernel inside the calling program, without guests (see docs/posix.md)."""
