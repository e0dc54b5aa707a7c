(trap '' PIPE; yes 2>/dev/null; echo $? >&2) | head -1
seq 1000000 | head -1
echo ${PIPESTATUS[0]}
