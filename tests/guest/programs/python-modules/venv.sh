/usr/bin/python3 -m venv --without-pip v
v/bin/python -c 'import sys; print(sys.prefix != sys.base_prefix)'
ls v/bin | sort
readlink v/bin/python3
