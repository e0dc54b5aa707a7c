// The extended state (x87, SSE, AVX): images that a CPU would not take, bits that are nobody's, and what others had there.
#include "escape.h"
#include <pthread.h>
#include <ucontext.h>

static void fill(unsigned char byte) {
    unsigned char value[16];
    memset(value, byte, 16);
#define LOAD(n) asm volatile("movdqu %0, %%xmm" #n ::"m"(value));
    LOAD(0) LOAD(1) LOAD(2) LOAD(3) LOAD(4) LOAD(5) LOAD(6) LOAD(7)
    LOAD(8) LOAD(9) LOAD(10) LOAD(11) LOAD(12) LOAD(13) LOAD(14) LOAD(15)
    asm volatile("fninit\n fldpi\n fldpi\n fldpi\n fldpi");
}

__attribute__((noinline)) static int strange(unsigned char byte) { // registers with another byte
    unsigned char values[16][16];
#define STORE(n) asm volatile("movdqu %%xmm" #n ", %0" : "=m"(values[n]));
    STORE(0) STORE(1) STORE(2) STORE(3) STORE(4) STORE(5) STORE(6) STORE(7)
    STORE(8) STORE(9) STORE(10) STORE(11) STORE(12) STORE(13) STORE(14) STORE(15)
    int count = 0;
    for (int i = 0; i < 16; i++)
        for (int k = 0; k < 16; k++)
            if (values[i][k] != byte) {
                count++;
                break;
            }
    return count;
}

static int kind, done;
static unsigned char *elsewhere; // a page, and nothing behind it

static void change(int signo, siginfo_t *info, void *context) {
    ucontext_t *at = context;
    unsigned char *state = (void *)at->uc_mcontext.fpregs;
    (void)signo, (void)info;
    done = 1;
    if (!state)
        return;
    unsigned *words = (void *)state;
    switch (kind) {
    case 0: words[6] = ~0u; break; // MXCSR with bits that no CPU has
    case 1: memset(state, 0xff, 464); break;
    case 2: memset(state + 464, 0xff, 48); break; // how much there is
    case 3: memset(state + 512, 0xff, 64); break; // the header
    case 4: *(unsigned long *)(state + 512) = 1ul << 63; break;
    case 5: *(unsigned long *)(state + 520) = 1ul << 63 | 7; break; // compacted
    case 6: *(unsigned long *)(state + 512) = 3ul << 17; break; // AMX
    case 7: words[116] = 0x46505853, words[117] = ~0u, words[120] = ~0u; break;
    case 8: at->uc_mcontext.fpregs = (void *)(elsewhere + 4096 - 512); break;
    case 9: at->uc_mcontext.fpregs = (void *)(elsewhere + 4096 - 64); break;
    case 10: at->uc_mcontext.fpregs = (void *)(elsewhere + 1); break;
    case 11: at->uc_mcontext.fpregs = (void *)0xffffffff80000000; break;
    case 12: at->uc_mcontext.fpregs = (void *)0x800000000000; break;
    case 13: at->uc_mcontext.fpregs = 0; break;
    case 14: at->uc_mcontext.fpregs = (void *)~0ul; break;
    case 15: words[6] = 0, words[0] = 0; break; // no exception is masked
    }
}

static volatile int go_on = 1;

static void *keep(void *byte) {
    while (go_on) {
        fill((long)byte);
        for (volatile int i = 0; i < 20000; i++)
            ;
        if (strange((long)byte))
            escaped("registers of another thread");
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 3) // a new program, whose start has used some of them
        return strange(0xa5) == 16 ? 3 : 4;
    begin(argc, argv);
    elsewhere = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(elsewhere + 4096, 4096);
    for (kind = 0; kind < 16; kind++) {
        int status = IN_CHILD({
            struct sigaction action = {.sa_sigaction = change, .sa_flags = SA_SIGINFO};
            sigaction(SIGUSR1, &action, 0);
            fill(0x5a);
            raise(SIGUSR1);
            asm volatile("cli");
            escaped("cli");
        });
        if (!WIFSIGNALED(status))
            escaped("image %d ended with %#x", kind, status);
    }
    int status; // by instructions: control words and images that fault, rather than be taken.
    static unsigned char image[4096] __attribute__((aligned(64)));
    static const unsigned bad = ~0u;
    IN_CHILD({ asm volatile("ldmxcsr %0" ::"m"(bad)); });
    memset(image, 0xff, sizeof image);
    IN_CHILD({ asm volatile("fxrstor %0" ::"m"(image)); });
    IN_CHILD({ asm volatile("xrstor %0" ::"m"(image), "a"(-1), "d"(-1)); });
    IN_CHILD({ asm volatile("xrstors %0" ::"m"(image), "a"(-1), "d"(-1)); });
    IN_CHILD({ asm volatile("xsaves %0" : "=m"(image) : "a"(-1), "d"(-1)); });
    IN_CHILD({ asm volatile("xsetbv" ::"c"(0), "a"(-1), "d"(-1)); });
    for (int feature = 0; feature < 64; feature++) // more state than there is room for
        if (feature == 17 || feature == 18)
            IN_CHILD({ RAW(SYS_arch_prctl, 0x1023, feature); });
    // Nothing of it in a program that begins, nor in a thread beside.
    for (int i = 0; i < 5; i++) {
        status = IN_CHILD({ fill(0xa5); execl(argv[0], argv[0], (char *)0); });
        if (status != 3 << 8)
            escaped("a new program has an old one's registers (%#x)", status);
    }
    pid_t beside = fork();
    if (beside == 0)
        keep((void *)0x11l);
    pthread_t threads[3];
    for (long i = 0; i < 3; i++)
        pthread_create(&threads[i], 0, keep, (void *)(i + 1));
    usleep(400000);
    go_on = 0;
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], 0);
    kill(beside, SIGKILL);
    waitpid(beside, &status, 0);
    if (!WIFSIGNALED(status))
        escaped("registers of another process");
    contained();
}
