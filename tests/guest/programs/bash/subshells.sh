x=1
(x=2; cd /; echo $x $PWD)
echo $x
(exit 3)
echo $?
{ echo group; }
(echo deep; (echo deeper; (exit 4)); echo $?)
