mkdir d
touch d/{a,b,c}.{x,y}
echo d/*
echo d/[ab].x
shopt -s nullglob extglob globstar
echo d/z*
echo d/!(a*)
echo **/*.y
