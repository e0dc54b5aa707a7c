cp -r /usr/lib/python3.*/json j
rm -rf j/__pycache__
/usr/bin/python3 -m compileall -q j
ls j/__pycache__ | wc -l
