// As many processes and threads as the kernel gives; all of them must be gone afterwards.
#include "escape.h"
#include <pthread.h>

static void *rest(void *unused) {
    for (;;)
        pause();
    return 0;
}

int main(int argc, char **argv) {
    begin(argc, argv);
    int n = 0;
    for (; n < 600; n++) {
        pid_t pid = fork();
        if (pid < 0)
            break;
        if (pid == 0)
            for (;;)
                pause();
    }
    for (int i = 0; i < 200; i++) {
        pthread_t thread;
        if (pthread_create(&thread, 0, rest, 0))
            break;
    }
    if (n == 0)
        escaped("no process at all");
    contained(); // and leaves them all behind
}
