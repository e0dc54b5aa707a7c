factor 12345678 97
numfmt --to=iec 1048576
seq -s, 1 .5 3
seq -w 8 11
