basename /a/b.c .c
dirname /a/b.c
dirname -- a
