grep -rl GNU /usr/share/common-licenses | sort
grep -rc Free /usr/share/common-licenses/ | sort | head
grep -rn nothing-here /usr/share/common-licenses
echo $?
