import shutil, os, pathlib

r = pathlib.Path("src")
(r / "a/b").mkdir(parents=True)
[(r / f"a/{i}").write_text(str(i)) for i in range(20)]
(r / "l").symlink_to("a/1")
os.chmod(r / "a/3", 0o640)
os.utime(r / "a/4", (1000000001, 1000000002))
shutil.copytree(r, "dst", symlinks=True)
print(sorted(str(p) for p in pathlib.Path("dst").rglob("*")))
s = os.stat("dst/a/3")
print(oct(s.st_mode), os.stat("dst/a/4").st_mtime, os.readlink("dst/l"))
shutil.make_archive("arch", "zip", "dst")
shutil.unpack_archive("arch.zip", "u")
print(len(os.listdir("u/a")))
shutil.move("dst", "moved")
shutil.rmtree("moved")
print(os.path.exists("moved"), shutil.which("sh"), shutil.disk_usage("/").total > 0)
