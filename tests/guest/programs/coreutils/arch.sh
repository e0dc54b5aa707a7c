arch
uname -s
uname -m
