/usr/bin/python3 -m venv v
v/bin/pip --version | cut -d' ' -f1,2
