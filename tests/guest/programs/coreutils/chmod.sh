touch f
for m in 0 644 u+x,g-r =rw a+X 4755; do chmod $m f; stat -c %a f; done
chmod 99 f
