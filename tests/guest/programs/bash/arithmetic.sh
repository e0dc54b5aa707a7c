echo $((2**40)) $((7/2)) $((0x1f)) $((16#ff))
a=(1 2 3)
echo ${#a[@]} ${a[@]:1}
declare -A m=([k]=v)
echo ${m[k]}
let 'x=5*5'
echo $x
