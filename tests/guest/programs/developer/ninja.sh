cat > build.ninja <<'N'
rule sq
  command = expr $$(cat $in) '*' 2 > $out
  description = square $out
rule sum
  command = cat $in | sort -n | tail -1 > $out
build s1: sq n1
build s2: sq n2
build s3: sq n3
build out: sum s1 s2 s3
N
for i in 1 2 3; do echo $i > n$i; done
ninja -j3 | grep -c square
cat out
ninja
ninja -t clean | tail -1
ninja -n | wc -l
ninja nope; echo $?
