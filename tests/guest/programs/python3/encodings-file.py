p = "ünï.txt"
open(p, "w", encoding="utf-8").write("é\n" * 10)
import os

print(os.listdir("."), open(p).read(2).encode(), os.stat(p).st_size)
