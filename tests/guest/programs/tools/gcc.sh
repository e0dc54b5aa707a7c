printf '#include <stdio.h>\nint main(void) { puts("compiled"); return 3; }\n' > m.c
gcc -O1 -o m m.c && ./m
echo $?
gcc -static -o s m.c && ./s
echo $?
echo 'int main( {' > e.c
gcc e.c 2>&1 | wc -l
