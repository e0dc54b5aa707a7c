// Symbolic links to the host: our own, chains and loops, and links that lie in a mounted host directory.
#include "escape.h"

int main(int argc, char **argv) {
    begin(argc, argv);
    char target[2048], link[256];
    const char *prefixes[] = {"", "/proc/self/root", "/proc/1/root", "/proc/self/cwd/..", "/../..", "/escape/..", "/proc/thread-self/root"};
    for (unsigned i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        snprintf(target, sizeof target, "%s%s", prefixes[i], canary);
        snprintf(link, sizeof link, "/tmp/link%u", i);
        symlink(target, link);
        try_open(link);
        truncate(link, 0);
        chmod(link, 0);
        unlink(target);
        rename(link, canary);
    }
    for (int i = 0; i < 45; i++) {
        char from[64];
        snprintf(from, sizeof from, "/tmp/chain%d", i);
        snprintf(target, sizeof target, "/tmp/chain%d", i + 1);
        symlink(i == 44 ? canary : target, from);
    }
    for (int i = 0; i < 45; i++) {
        snprintf(link, sizeof link, "/tmp/chain%d", i);
        try_open(link);
    }
    // These were put there by the host (see the test): absolute, relative upwards, a directory, and /proc of the host.
    const char *given[] = {"/escape/to-canary", "/escape/up-to-canary", "/escape/to-directory/canary", "/escape/to-root",
                           "/escape/to-proc/1/root", "/escape/to-directory/../canary", "/escape/to-canary/"};
    for (unsigned i = 0; i < sizeof given / sizeof *given; i++)
        try_open(given[i]);
    if (chdir("/escape/to-directory") == 0)
        escaped("a link of a mount leads to a host directory");
    snprintf(target, sizeof target, "/escape/to-root%s", canary);
    try_open(target);
    int fd = open("/escape/to-directory/new", O_CREAT | O_WRONLY, 0666);
    if (fd >= 0)
        close(fd); // the sandbox's own file, if anything: the test looks
    contained();
}
