for i in {10..60}; do eval "exec $i>f$i"; done
for i in {10..60}; do echo $i >&$i; done
cat f* | sort -n | tail -1
