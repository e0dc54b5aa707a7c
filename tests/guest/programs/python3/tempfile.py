import tempfile, os

with tempfile.TemporaryDirectory() as d:
    p = os.path.join(d, "f")
    open(p, "w").write("x" * 100000)
    print(os.path.getsize(p), os.listdir(d))
print(os.path.exists(d))
with tempfile.TemporaryFile() as f:
    f.write(b"abc")
    f.seek(1)
    print(f.read())
with tempfile.NamedTemporaryFile() as f:
    print(os.stat(f.name).st_size)
s = tempfile.SpooledTemporaryFile(10)
s.write(b"y" * 50)
s.seek(0)
print(len(s.read()))
