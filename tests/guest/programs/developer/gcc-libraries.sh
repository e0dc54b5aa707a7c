# several files, a static and a shared library, one loaded at run time, sanitisers off, a second translation unit in C++
printf '#pragma once\nint add(int, int);\nint twice(int);\nextern int calls;\n' > lib.h
printf '#include "lib.h"\nint calls;\nint add(int a, int b) { calls++; return a + b; }\n' > add.c
printf '#include "lib.h"\nint twice(int a) { return add(a, a); }\n' > twice.c
cat > main.c <<'C'
#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include "lib.h"
static __thread int mine;
static void *run(void *arg) { mine = *(int *)arg; return (void *)(long)twice(mine); }
int main(int argc, char **argv) {
    pthread_t threads[4];
    int numbers[4] = {1, 2, 3, 4};
    long sum = 0;
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], 0, run, &numbers[i]);
    for (int i = 0; i < 4; i++) { void *got; pthread_join(threads[i], &got); sum += (long)got; }
    printf("%ld %d %.3f\n", sum, add(argc, 1), sqrt(2.0));
    void *plugin = argc > 1 ? dlopen(argv[1], RTLD_NOW) : 0;
    if (plugin) printf("%d\n", ((int (*)(int))dlsym(plugin, "plugin"))(20));
    else if (argc > 1) puts("no plugin");
    return calls > 4;
}
C
printf '#include "lib.h"\nint plugin(int a) { return twice(a) + 2; }\n' > plugin.c
for f in add twice main plugin; do gcc -c -O2 -g -fPIC -Wall $f.c -o $f.o || exit; done
ar rcs libstatic.a add.o twice.o && ranlib libstatic.a && ar t libstatic.a
gcc -shared -Wl,-soname,libshared.so.1 -o libshared.so.1 add.o twice.o && ln -s libshared.so.1 libshared.so
gcc -o with-static -rdynamic main.o -L. -lstatic -lm -ldl -pthread && ./with-static
gcc -o with-shared main.o -L. -lshared -lm -Wl,-rpath,'$ORIGIN' && ./with-shared
gcc -shared -o plugin.so plugin.o -L. -lshared
LD_LIBRARY_PATH=. ./with-shared ./plugin.so
./with-shared ./nope.so
gcc -static -o all-static main.c add.c twice.c -lm 2> /dev/null && ./all-static
gcc -O2 -flto -o lto main.c add.c twice.c -lm && ./lto
nm with-static | grep -w -E 'add|twice' | awk '{print $2, $3}'
readelf -d with-shared | grep NEEDED | awk '{print $NF}'
objdump -d add.o | grep -c ret
strip with-static && ./with-static
gcc -E main.c | grep -c pthread_create
gcc -S -o - add.c | grep -c add:
gcc -pipe -save-temps -c add.c && ls add.*
printf 'int main(void) { return nope(); }\n' > bad.c
gcc -Werror=implicit-function-declaration bad.c 2>&1 | head -2
gcc -w bad.c 2>&1 | tail -1
