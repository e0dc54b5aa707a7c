find /usr/share/zoneinfo -type f | sort | md5sum
find /usr/share/doc -maxdepth 2 | wc -l
find /usr/lib -name '*.so*' | sort | md5sum
