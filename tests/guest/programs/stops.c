// A stop that comes while a thread stands in vfork(2): the process has not stopped, for its parent, before that thread
// has (TASK_KILLABLE). SIGCONT takes a stop back that has not begun, and SIGKILL does not wait.
#include "check.h"

static int to_child[2], from_child[2];

static void *stand(void *unused) {
    pid_t pid = vfork();
    if (!pid) {
        char c = 'a';
        (void)!write(from_child[1], &c, 1);
        (void)!read(to_child[0], &c, 1);
        _exit(0);
    }
    (void)unused;
    return NULL;
}

static void look(const char *what, pid_t pid) {
    int status = 0;
    pid_t found = waitpid(pid, &status, WUNTRACED | WCONTINUED | WNOHANG);
    if (found) show_status(what, status);
    else printf("%s: nothing\n", what);
}

enum { RELEASED, CONTINUED, KILLED };

static void meet(int threaded, int how) {
    int status;
    char c;
    if (pipe(to_child) || pipe(from_child)) abort();
    printf("-- %s, %s\n", threaded ? "a thread" : "the leader", how == RELEASED ? "released" : how == CONTINUED ? "continued" : "killed");
    fflush(stdout);
    pid_t pid = fork();
    if (!pid) {
        pthread_t thread;
        if (threaded) pthread_create(&thread, NULL, stand, NULL), pthread_join(thread, NULL);
        else stand(NULL);
        _exit(7);
    }
    (void)!read(from_child[0], &c, 1);
    kill(pid, SIGSTOP);
    for (int i = 0; threaded && state_of(pid) != 'T' && i < 5000; i++) nap(1); // the leader has come to it
    look("before", pid);
    if (how == CONTINUED) kill(pid, SIGCONT), look("continued", pid);
    if (how == KILLED) {
        kill(pid, SIGKILL);
        show_status("killed", status_of(pid));
    }
    (void)!write(to_child[1], "x", 1);
    if (how == RELEASED) {
        waitpid(pid, &status, WUNTRACED);
        show_status("released", status);
        kill(pid, SIGCONT);
    }
    if (how != KILLED) show_status("end", status_of(pid));
    close(to_child[0]), close(to_child[1]), close(from_child[0]), close(from_child[1]);
}

int main(void) {
    for (int threaded = 0; threaded < 2; threaded++)
        for (int how = RELEASED; how <= KILLED; how++) meet(threaded, how);
    return 0;
}
