ldd /bin/ls | awk '{print $1}' | sort
file=/bin/ls
head -c 4 $file | od -c | head -1
getconf PAGE_SIZE
locale -a | grep -c C
getent passwd root
