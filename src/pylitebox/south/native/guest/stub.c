// The stub: the part of pylitebox that lives inside guest processes. Freestanding, static, at a fixed address.
//
// IT RUNS ON THE UNTRUSTED SIDE. Nothing it says is believed: every number it sends is checked by the supervisor, and
// every host call it may make is safe with any arguments from any address (see ../surface.py). It exists because some
// things can only be done from inside: catching SIGSYS and kicks, clone, mmap of an injected descriptor.
//
// Roles, in one program:
//   guardian   started by the supervisor; forks the template, reaps, and ends every guest when the supervisor is gone
//   template   never runs guest code; forks an empty process on order (exec needs one: there is no native execve)
//   guest      signal handler and clone code around guest code
//
// Rules: each entry into guest code is one native rt_sigreturn. Stub code runs with all signals blocked (but SIGSEGV and
// SIGBUS) on a BLOCK_SIZE-aligned alternate stack, whose base holds the thread's block; so it is never interrupted
// half-way, and needs neither GS nor TLS. Layouts here are mirrored in ../layout.py.
#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <ucontext.h>

typedef unsigned long u64;

#define BLOCK_SIZE 0x8000ul   // alternate stack and thread block together
#define BLOCK_HEAD 0x1000ul   // the block proper; the stack is the rest
#define REQUEST 0x7079626f80001b0cul // lseek's descriptor: its low half is negative, so natively it can only be EBADF
#define KICK SIGURG
#define CONTROL_FD 3
#define LIFE_FD 4             // end-of-file when the supervisor is gone
#define LOCAL_SITES 4         // calls whose sites are told apart
#define PATCH_AFTER 16        // traps of one site in a row
#define MAX_ISLANDS 8         // the program, its libraries, and what was loaded far from them
#define REACH 0x7ff00000ul    // of a jump
#define MAX_FD 16             // more descriptors than any process here ever has (RLIMIT_NOFILE)
#define EXIT_STARTUP 120

enum request {
    REQ_SAFE_POINT = 1, REQ_FORWARD, REQ_SIGRETURN, REQ_MEMORY, REQ_HELLO, REQ_VFORK, REQ_TEMPLATE, REQ_FRESH, REQ_LOADED,
    REQ_SIGACTION, REQ_CLONE_FAILED, REQ_DONE, REQ_PATCH
};
enum step { STEP_ZERO = 0x10001, STEP_COPY, STEP_ENTER, STEP_END };

// What is answered here without a question to the supervisor (if config.local says so), and read by it when it matters.
struct actions {              // of a process
    u64 attention;            // a signal waits: each change of a mask must be told
    u64 unused[3];
    u64 action[64][4];
};
struct space {                // of an address space
    u64 brk, brk_start, brk_limit;
    u64 shared;               // there have been threads side by side in it
    u64 island, entries;      // the last page made near call sites that were patched, and how many entries it has
    u64 islands;              // how many such pages there are
    struct { u64 site, traps; } sites[LOCAL_SITES]; // where a call was made last, and how often in a row
};
enum id { TID, PID, PPID, UID, EUID, GID, EGID, IDS };
struct block {                // of a thread
    u64 tid;                  // virtual; written by the supervisor before a clone
    u64 clone_flags;          // as the guest gave them; read by the supervisor
    struct block *spare;      // a free block for the next child that shares this memory
    struct actions *actions;
    u64 mask;                 // the signals that the guest has blocked
    u64 unused[3];
    struct actions own;
    u64 call[7];              // a host call that the supervisor wants made, see memory_guest(); call[0] == 0: none
    u64 limit[2];             // what such a call of prlimit64 sets: soft, hard
    u64 lent, lent_fd;        // a guest's descriptor plus one (0: none) that is mapped unasked, and the host's for it
    u64 ids[IDS];             // the guest's, as getpid(2) and so on give them
};

static char first_block[BLOCK_SIZE] __attribute__((aligned(BLOCK_SIZE)));
static u64 plan[1024] __attribute__((aligned(4096))); // see ../layout.py; its end is the address space's struct space
#define SPACE ((struct space *)((char *)plan + 0x1f00))
static char start_stack[8192] __attribute__((aligned(4096), used));
static struct {
    u64 lengths[3];           // instructions of the guests', the start-up and the guardian's filter
    u64 landlock[3];          // a ruleset's attributes; 0: no Landlock here
    u64 namespaces;           // CLONE_NEW* flags of namespaces around all guests
    u64 address_space;        // RLIMIT_AS of each guest process, bytes; 0: none
    u64 local;                // whether what can be answered here is; 0: every call is forwarded
    struct sock_filter code[1500];
} config;

static inline long syscall6(long n, long a, long b, long c, long d, long e, long f) {
    long r;
    register long r10 asm("r10") = d;
    register long r8 asm("r8") = e;
    register long r9 asm("r9") = f;
    asm volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    return r;
}
#define SYS(n, ...) SYS_(n, ##__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define SYS_(n, a, b, c, d, e, f, ...) syscall6(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define ASK(op, ...) SYS(SYS_lseek, REQUEST, op, ##__VA_ARGS__)
#define FAILED(r) ((u64)(r) > -4096ul)

void *memset(void *d, int c, size_t n) {
    void *p = d;
    asm volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(c) : "memory");
    return d;
}
void *memcpy(void *d, const void *s, size_t n) {
    void *p = d;
    asm volatile("rep movsb" : "+D"(p), "+S"(s), "+c"(n)::"memory");
    return d;
}
static struct block *block_of(void *p) { return (struct block *)((u64)p & ~(BLOCK_SIZE - 1)); }
static void end_with_parent(void) { SYS(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL); }

// -- entering guest code ----------------------------------------------------------------------------------------

extern char restorer[];
asm(".globl restorer\nrestorer: mov $15, %eax\n syscall\n");

__attribute__((noreturn)) static void enter(void *ucontext) {
    asm volatile("mov %0, %%rsp\n mov $15, %%eax\n syscall" ::"r"(ucontext) : "memory");
    __builtin_unreachable();
}

// Copy from or to guest memory; a fault on the way becomes -EFAULT (see handler()).
extern char copy_start[], copy_end[], copy_fixup[];
long guest_copy(void *to, const void *from, long n);
asm("guest_copy: mov %rdx, %rcx\ncopy_start: rep movsb\ncopy_end: xor %eax, %eax\n ret\ncopy_fixup: mov $-14, %rax\n ret\n");

// -- clone ------------------------------------------------------------------------------------------------------

// A new descriptor table starts without what another thread was mapping meanwhile.
static void close_injected(void) {
    for (int fd = 0; fd < MAX_FD; fd++)
        SYS(SYS_close, fd);
}

// What is lent is the thread's until the supervisor takes the guest's descriptor away, or another is lent.
static void give_back(struct block *b) {
    if (b->lent_fd)
        SYS(SYS_close, b->lent_fd - 1);
    b->lent = b->lent_fd = 0;
}

// A child has its id; the rest follows from its parent's, which its block has.
static void take_ids(struct block *b) {
    b->ids[TID] = b->tid;
    if (b->clone_flags & CLONE_THREAD)
        return;
    if (!(b->clone_flags & CLONE_PARENT))
        b->ids[PPID] = b->ids[PID];
    b->ids[PID] = b->tid;
}

__attribute__((used, noreturn)) static void child_sharing_memory(void *ucontext) {
    struct block *b = block_of(ucontext);
    take_ids(b);
    if (!(b->clone_flags & CLONE_THREAD)) {
        end_with_parent();
        close_injected();
    }
    if (ASK(REQ_HELLO, b->tid, b) < 0)
        SYS(SYS_exit_group, EXIT_STARTUP);
    enter(ucontext);
}

// frame == 0: the child has a copy of this stack and returns 0 here. Else it starts in child_sharing_memory(frame).
static long raw_clone(long flags, void *frame, u64 ctid, u64 tls, u64 ptid, struct block *b) {
    long r;
    register long r10 asm("r10") = ctid;
    register long r8 asm("r8") = tls;
    register void *r9 asm("r9") = b;
    void *stack = frame ? (void *)(((u64)frame - 256) & ~15ul) : 0;
    asm volatile("syscall\n test %%rax, %%rax\n jnz 1f\n test %%rbx, %%rbx\n jz 1f\n"
                 " mov %%rbx, %%rdi\n xor %%ebp, %%ebp\n call child_sharing_memory\n1:"
                 : "=a"(r) : "a"((long)SYS_clone), "D"(flags), "S"(stack), "d"(ptid), "r"(r10), "r"(r8), "r"(r9), "b"(frame)
                 : "rcx", "r11", "memory");
    return r;
}

#define REG(name) uc->uc_mcontext.gregs[REG_##name]

static long clone_guest(ucontext_t *uc, long number) {
    struct block *self = block_of(uc), *child = self;
    u64 flags = number == SYS_clone ? REG(RDI) : number == SYS_fork ? SIGCHLD : CLONE_VM | CLONE_VFORK | SIGCHLD;
    u64 stack = 0, ptid = 0, ctid = 0, tls = 0;
    if (number == SYS_clone)
        stack = REG(RSI), ptid = REG(RDX), ctid = REG(R10), tls = REG(R8);
    // What the host may do of it; the rest of the flags is the supervisor's business.
    u64 native = flags & CLONE_THREAD ? flags & 0x2d0f00 : CLONE_PARENT | (flags & (CLONE_VM | CLONE_CHILD_CLEARTID));
    if (flags & CLONE_THREAD && (native & 0xd0f00) != 0xd0f00)
        return -22;
    ucontext_t *frame = 0;
    give_back(self); // what is lent is one thread's, and not its children's
    if (flags & CLONE_VM) {
        child = self->spare;
        self->spare = 0;
        if (!child) {
            u64 m = SYS(SYS_mmap, 0, 2 * BLOCK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            if (FAILED(m))
                return m;
            child = (struct block *)((m + BLOCK_SIZE - 1) & ~(BLOCK_SIZE - 1));
        }
        // The child returns through a copy of this signal frame, at the same place in its own block.
        u64 offset = (u64)uc - (u64)self;
        memcpy((char *)child + offset, uc, BLOCK_SIZE - offset);
        frame = (ucontext_t *)((char *)child + offset);
        if (frame->uc_mcontext.fpregs)
            frame->uc_mcontext.fpregs = (void *)((char *)uc->uc_mcontext.fpregs - (char *)self + (char *)child);
        frame->uc_stack.ss_sp = (char *)child + BLOCK_HEAD;
        frame->uc_stack.ss_size = BLOCK_SIZE - BLOCK_HEAD;
        frame->uc_stack.ss_flags = 0;
        frame->uc_mcontext.gregs[REG_RAX] = 0;
        if (stack)
            frame->uc_mcontext.gregs[REG_RSP] = stack;
    }
    child->tid = 0;
    child->clone_flags = flags;
    if (child != self) {
        child->spare = 0;
        child->lent = child->lent_fd = 0;
        memcpy(child->ids, self->ids, sizeof child->ids);
        child->mask = self->mask;
        child->actions = self->actions;
        if (!(flags & CLONE_SIGHAND)) {
            memcpy(&child->own, self->actions, sizeof child->own);
            child->actions = &child->own;
        }
    }
    if ((flags & (CLONE_VM | CLONE_VFORK)) == CLONE_VM)
        SPACE->shared = 1;
    long r = raw_clone(native, frame, ctid, tls, ptid, child);
    if (r == 0) { // a forked child, on its own copy of everything
        end_with_parent();
        close_injected();
        take_ids(child);
        if (ASK(REQ_HELLO, child->tid, child) < 0)
            SYS(SYS_exit_group, EXIT_STARTUP);
        if (stack)
            REG(RSP) = stack;
        return 0;
    }
    if (r < 0) {
        if (child->tid) // granted by the supervisor, refused by the host
            ASK(REQ_CLONE_FAILED, child->tid, r);
        if (child != self)
            self->spare = child;
        return r;
    }
    r = child->tid;
    if (flags & CLONE_VFORK) {
        long v = ASK(REQ_VFORK, r); // parked until the child has exec'd or ended
        if (child != self)
            self->spare = child;
        return v;
    }
    return r;
}

// -- signals ----------------------------------------------------------------------------------------------------

// What the answer is if it needs the supervisor.
#define NOT_HERE 1

// From default to default: flags, restorer and mask of the record change, if it is one of the default still. A kick on
// the way starts it again, since a handler may change the record meanwhile (see handler()).
extern char default_start[], default_end[];
long change_default(u64 *action, const u64 *new);
asm("change_default: default_start: cmpq $0, (%rdi)\n jne 1f\n mov 8(%rsi), %rax\n mov 16(%rsi), %rcx\n mov 24(%rsi), %rdx\n"
    " mov %rax, 8(%rdi)\n mov %rcx, 16(%rdi)\n mov %rdx, 24(%rdi)\ndefault_end: xor %eax, %eax\n ret\n1: mov $1, %eax\n ret\n");

// rt_sigaction: queries and changes without effect are answered here (posix_spawn makes 122 of them).
static long sigaction_here(struct block *b, u64 signo, void *set, void *old, u64 size) {
    u64 new[4] = {0}, before[4];
    if (!config.local || signo - 1 >= 64 || size != 8 || (set && (signo == SIGKILL || signo == SIGSTOP)))
        return NOT_HERE;
    u64 *action = b->actions->action[signo - 1];
    if (set && guest_copy(new, set, 32))
        return -14;
    int same = !set || (new[0] == action[0] && new[1] == action[1] && new[2] == action[2] && new[3] == action[3]);
    // From default to default only the record changes, unless it is SIGCHLD's flags, which have a meaning then too.
    int flags_matter = set && signo == SIGCHLD && (new[1] ^ action[1]) & (SA_NOCLDSTOP | SA_NOCLDWAIT);
    memcpy(before, action, 32);
    if (!same && (new[0] != (u64)SIG_DFL || flags_matter || change_default(action, new)))
        return NOT_HERE;
    return old && guest_copy(old, before, 32) ? -14 : 0;
}

// rt_sigprocmask: the mask is kept here. The supervisor is told of a change only if a signal waits: it sets `attention`
// before it looks at the mask, and we set the mask before we look at `attention`, so one of the two sees the other.
// Without a frame to deliver signals to, a change that must be told is undone.
static long sigprocmask_here(struct block *b, u64 how, void *new, void *old, u64 size, ucontext_t *uc) {
    u64 before = b->mask, set;
    if (!config.local || size != 8 || (new && how > SIG_SETMASK))
        return NOT_HERE;
    if (new && guest_copy(&set, new, 8))
        return -14;
    if (new) {
        set = how == SIG_BLOCK ? before | set : how == SIG_UNBLOCK ? before & ~set : set;
        b->mask = set & ~(1ul << (SIGKILL - 1) | 1ul << (SIGSTOP - 1));
        __sync_synchronize();
    }
    int tell = new && *(volatile u64 *)&b->actions->attention;
    if (tell && !uc) {
        b->mask = before;
        return NOT_HERE;
    }
    long r = old && guest_copy(old, &before, 8) ? -14 : 0;
    if (tell) {
        REG(RAX) = r;
        ASK(REQ_SAFE_POINT, KICK, uc, b->actions);
        return REG(RAX);
    }
    return r;
}

static int id_of(long number) {
    switch (number) {
    case SYS_gettid: return TID;
    case SYS_getpid: return PID;
    case SYS_getppid: return PPID;
    case SYS_getuid: return UID;
    case SYS_geteuid: return EUID;
    case SYS_getgid: return GID;
    case SYS_getegid: return EGID;
    }
    return -1;
}

// -- patched call sites ---------------------------------------------------------------------------------------------
//
// A call that is answered here costs a signal, some twenty times the answer. So where one is made again and again, by
// `mov $number, %eax; syscall`, the supervisor replaces those first five bytes by a jump to an entry in a page near by,
// which leads to fast_entry: on the guest's own stack, below its red zone, with all registers kept. What cannot be
// answered goes back to the `syscall`, which was left as it is. Only in a space without threads side by side, since
// another may be at the site; and a thread learns which it is by asking the host for its alternate stack.
struct fast { u64 r11, r10, r9, r8, rdi, rsi, rdx, rcx, rax, flags, site; }; // site: its number in the top byte

__attribute__((used)) static void fast_call(struct fast *f) {
    long number = f->site >> 56, r = NOT_HERE;
    stack_t own;
    f->site = (f->site & ((1ul << 56) - 1)) + 5;
    f->rax = number;
    if (SYS(SYS_sigaltstack, 0, &own))
        return;
    struct block *b = block_of(own.ss_sp);
    if (number == SYS_rt_sigaction)
        r = sigaction_here(b, f->rdi, (void *)f->rsi, (void *)f->rdx, f->r10);
    else if (number == SYS_rt_sigprocmask)
        r = sigprocmask_here(b, f->rdi, (void *)f->rsi, (void *)f->rdx, f->r10, 0);
    else if (id_of(number) >= 0)
        r = b->ids[id_of(number)];
    else
        return;
    if (r == NOT_HERE && id_of(number) < 0)
        return;
    f->rax = r;
    f->site += 2; // behind the syscall
}

extern char fast_entry[];
asm("fast_entry: pushfq\n push %rax\n push %rcx\n push %rdx\n push %rsi\n push %rdi\n push %r8\n push %r9\n push %r10\n"
    " push %r11\n cld\n mov %rsp, %rdi\n mov %rsp, %rax\n and $-16, %rsp\n push %rax\n sub $8, %rsp\n call fast_call\n"
    " add $8, %rsp\n pop %rsp\n pop %r11\n pop %r10\n pop %r9\n pop %r8\n pop %rdi\n pop %rsi\n pop %rdx\n pop %rcx\n"
    " pop %rax\n popfq\n pop %rcx\n lea 128(%rsp), %rsp\n jmp *%rcx\n");

// A call that was answered here has trapped: if its site goes on so, have it patched.
static void count_trap(ucontext_t *uc, long number) {
    struct space *s = SPACE;
    u64 site = REG(RIP) - 7;
    unsigned slot = number % LOCAL_SITES;
    if (s->shared)
        return;
    if (s->sites[slot].site != site) {
        s->sites[slot].site = site;
        s->sites[slot].traps = 0;
    }
    if (++s->sites[slot].traps != PATCH_AFTER)
        return;
    unsigned char code[7];
    if ((site & 4095) > 4096 - 5 || guest_copy(code, (void *)site, 7) || code[0] != 0xb8 || *(int *)(code + 1) != number ||
        code[5] != 0x0f || code[6] != 0x05)
        return;
    if (!s->island || s->island - site + REACH > 2 * REACH) { // where the site can jump to it
        if (s->islands == MAX_ISLANDS)
            return;
        u64 m = SYS(SYS_mmap, (site & ~4095ul) - (1 << 24), 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (FAILED(m))
            return;
        s->island = m;
        s->entries = 0;
        s->islands++;
    }
    if (ASK(REQ_PATCH, site, s->island, s->entries, fast_entry) > 0)
        s->entries++;
}

// The break moves within memory that is there already; the new one.
static u64 brk_guest(ucontext_t *uc) {
    u64 old = SPACE->brk, new = REG(RDI);
    if (config.local)
        new = new >= SPACE->brk_start && new <= SPACE->brk_limit ? new : old;
    else
        new = ASK(REQ_FORWARD, uc, block_of(uc)->actions);
    if (new < old) // give back what the break no longer covers; it reads as zeros when it comes again
        SYS(SYS_madvise, (new + 4095) & ~4095ul, ((old + 4095) & ~4095ul) - ((new + 4095) & ~4095ul), MADV_DONTNEED);
    return SPACE->brk = new;
}

// mmap of a file, shmat, shmdt, prlimit64: host calls that only the thread itself can make, named by the supervisor one by one. The
// answer to a request is the descriptor of a mapping, which is injected with exactly the access that the guest has; it
// stands for the fifth argument, in whose place call[5] says whether the outcome is asked for, and from bit 1 on under
// which of the guest's descriptors (plus one) the same file may be mapped privately again.
static long memory_guest(ucontext_t *uc) {
    struct block *b = block_of(uc);
    u64 *call = b->call;
    for (long op = REQ_MEMORY, done = 0;; op = REQ_DONE) {
        call[0] = 0;
        long r = ASK(op, uc, b->actions, done);
        if (r < 0 || !call[0])
            return r;
        done = syscall6(call[0], call[1], call[2], call[3], call[4], r, call[6]);
        if (call[0] == SYS_mmap) {
            if (call[5] >> 1) {
                give_back(b);
                b->lent = call[5] >> 1;
                b->lent_fd = r + 1;
            } else
                SYS(SYS_close, r);
        }
        if (!(call[5] & 1))
            return done;
    }
}

static long mmap_guest(ucontext_t *uc) {
    struct block *b = block_of(uc);
    u64 flags = REG(R10), known = MAP_PRIVATE | MAP_FIXED | MAP_DENYWRITE | MAP_FIXED_NOREPLACE | MAP_NORESERVE | MAP_POPULATE;
    if (b->lent && b->lent - 1 == (unsigned)REG(R8) && flags & MAP_PRIVATE && !(flags & ~known) && !(REG(RDX) & ~7ul))
        return SYS(SYS_mmap, REG(RDI), REG(RSI), REG(RDX), flags, b->lent_fd - 1, REG(R9));
    return memory_guest(uc);
}

static void handler(int signo, siginfo_t *info, void *context) {
    (void)info;
    ucontext_t *uc = context;
    struct block *b = block_of(uc);
    if (signo != SIGSYS) { // a kick, or a fault of the guest's own
        u64 ip = REG(RIP);
        if (signo != KICK && ip >= (u64)copy_start && ip <= (u64)copy_end)
            REG(RIP) = (u64)copy_fixup;
        else {
            if (ip >= (u64)default_start && ip < (u64)default_end)
                REG(RIP) = (u64)default_start;
            ASK(REQ_SAFE_POINT, signo, uc, b->actions);
        }
        return;
    }
    long number = REG(RAX), r = NOT_HERE;
    int id = config.local ? id_of(number) : -1;
    if (id >= 0) {
        REG(RAX) = b->ids[id];
        count_trap(uc, number);
        return;
    }
    switch (number) {
    case SYS_rt_sigreturn:
        ASK(REQ_SIGRETURN, uc, b->actions);
        return;
    case SYS_clone:
    case SYS_fork:
    case SYS_vfork:
        REG(RAX) = clone_guest(uc, number);
        return;
    case SYS_rt_sigaction:
        r = sigaction_here(b, REG(RDI), (void *)REG(RSI), (void *)REG(RDX), REG(R10));
        if (r == NOT_HERE)
            REG(RAX) = ASK(REQ_SIGACTION, uc, b->actions);
        else {
            REG(RAX) = r;
            count_trap(uc, number);
        }
        return;
    case SYS_mmap:
        REG(RAX) = mmap_guest(uc);
        return;
    case SYS_shmat:
    case SYS_shmdt:
    case SYS_setrlimit:
    case SYS_prlimit64:
        REG(RAX) = memory_guest(uc);
        return;
    case SYS_rt_sigprocmask:
        if (config.local)
            count_trap(uc, number);
        r = sigprocmask_here(b, REG(RDI), (void *)REG(RSI), (void *)REG(RDX), REG(R10), uc);
        REG(RAX) = r == NOT_HERE ? ASK(REQ_FORWARD, uc, b->actions) : r;
        return;
    case SYS_brk:
        REG(RAX) = brk_guest(uc);
        return;
    case SYS_set_tid_address:
        SYS(SYS_set_tid_address, REG(RDI)); // the host clears it at the thread's end; the id is the supervisor's
        break;
    }
    REG(RAX) = ASK(REQ_FORWARD, uc, b->actions);
}

static void install(int signo) {
    u64 action[4] = {(u64)handler, SA_SIGINFO | SA_ONSTACK | SA_RESTART | 0x04000000, (u64)restorer,
                     ~(1ul << (SIGSEGV - 1) | 1ul << (SIGBUS - 1))};
    SYS(SYS_rt_sigaction, signo, action, 0, 8);
}

// -- template and guardian --------------------------------------------------------------------------------------

// Steps of seven words: a host call with six arguments, or a STEP_*. Returns at STEP_END or at the first failure.
static long follow_plan(void) {
    for (u64 *p = plan;; p += 7) {
        if (p[0] == STEP_ZERO)
            memset((void *)p[1], 0, p[2]);
        else if (p[0] == STEP_COPY)
            memcpy((void *)p[1], (void *)p[2], p[3]);
        else if (p[0] == STEP_ENTER) {
            *SPACE = (struct space){.brk = p[2], .brk_start = p[2], .brk_limit = p[2] + p[3]};
            block_of(first_block)->mask = p[4];
            enter((void *)p[1]);
        } else if (p[0] == STEP_END)
            return 0;
        else {
            long r = syscall6(p[0], p[1], p[2], p[3], p[4], p[5], p[6]);
            if (FAILED(r))
                return r;
        }
    }
}

static void limit(int resource, u64 value) {
    u64 both[2] = {value, value};
    if (SYS(SYS_setrlimit, resource, both) < 0)
        SYS(SYS_exit_group, EXIT_STARTUP + 4);
}

static void restrict_files(void) {
    if (!config.landlock[0])
        return;
    long ruleset = SYS(444, config.landlock, sizeof config.landlock, 0); // landlock_create_ruleset: no rule, so nothing
    if (ruleset < 0 || SYS(446, ruleset, 0) < 0)                          // landlock_restrict_self
        SYS(SYS_exit_group, EXIT_STARTUP + 1);
    SYS(SYS_close, ruleset);
}

static void filter(int which, long flags, int expect_fd) {
    struct sock_filter *code = config.code;
    for (int i = 0; i < which; i++)
        code += config.lengths[i];
    struct sock_fprog program = {config.lengths[which], code};
    long r = SYS(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
    if (!expect_fd) {
        if (r < 0)
            SYS(SYS_exit_group, EXIT_STARTUP + 2);
        return;
    }
    // The listener (or the reason why there is none) goes to the supervisor.
    struct iovec iov = {&r, sizeof r};
    char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0};
    struct msghdr message = {0};
    message.msg_iov = (void *)&iov;
    message.msg_iovlen = 1;
    if (r >= 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *c = (void *)control;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        *(int *)CMSG_DATA(c) = r;
    }
    SYS(SYS_sendmsg, CONTROL_FD, &message, MSG_NOSIGNAL);
    if (r < 0)
        SYS(SYS_exit_group, EXIT_STARTUP + 3);
}

__attribute__((noreturn)) static void template(void) {
    stack_t alternate = {.ss_sp = first_block + BLOCK_HEAD, .ss_size = BLOCK_SIZE - BLOCK_HEAD};
    struct block *b = (void *)first_block;
    b->actions = &b->own;
    SYS(SYS_setsid); // a process group of its own: the guardian ends all guests by it
    end_with_parent();
    SYS(SYS_sigaltstack, &alternate, 0);
    int caught[] = {SIGSYS, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, KICK};
    for (unsigned i = 0; i < sizeof caught / sizeof *caught; i++)
        install(caught[i]);
    limit(RLIMIT_NOFILE, MAX_FD);
    limit(RLIMIT_CORE, 0);
    if (config.address_space)
        limit(RLIMIT_AS, config.address_space);
    restrict_files(); // a domain of the guests' own within the guardian's, whom they may not signal, but who signals them
    filter(0, SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, 1);
    filter(1, 0, 0); // takes away what only starting needs
    close_injected();
    for (long order = ASK(REQ_TEMPLATE, plan, 0);;) {
        long r = 0;
        if (order < 0)
            SYS(SYS_exit_group, 0);
        if (order == 0) // once: unmap what the host made for this program
            r = follow_plan();
        else if ((r = raw_clone(CLONE_PARENT, 0, 0, 0, 0, b)) == 0) {
            end_with_parent();
            for (long state = ASK(REQ_FRESH, order, plan, first_block + BLOCK_HEAD, BLOCK_SIZE - BLOCK_HEAD);;) {
                if (state < 0)
                    SYS(SYS_exit_group, EXIT_STARTUP);
                state = ASK(REQ_LOADED, follow_plan());
            }
        }
        order = ASK(REQ_TEMPLATE, plan, r);
    }
}

// Wait for the supervisor's end, then end `child`'s process group (or, for the outer guardian, the whole namespace).
__attribute__((noreturn)) static void guard(long child, long target) {
    char byte;
    SYS(SYS_close, CONTROL_FD);
    filter(2, 0, 0);
    while (child > 0 && SYS(SYS_read, LIFE_FD, &byte, 1) == -4)
        ;
    if (child > 0)
        SYS(SYS_kill, target, SIGKILL);
    while (SYS(SYS_wait4, -1, 0, 0, 0) >= 0)
        ;
    SYS(SYS_exit_group, 0);
    __builtin_unreachable();
}

__attribute__((used)) static void start(void) {
    u64 all = ~0ul, ignore[4] = {(u64)SIG_IGN, 0x04000000, (u64)restorer, 0};
    char *into = (char *)&config;
    for (u64 have = 0; have < sizeof config;) {
        long r = SYS(SYS_read, CONTROL_FD, into + have, sizeof config - have);
        if (r <= 0)
            SYS(SYS_exit_group, EXIT_STARTUP);
        have += r;
    }
    SYS(SYS_rt_sigprocmask, SIG_BLOCK, &all, 0, 8);
    SYS(SYS_prctl, PR_SET_CHILD_SUBREAPER, 1);
    SYS(SYS_rt_sigaction, SIGCHLD, ignore, 0, 8); // guests are reaped by the host
    SYS(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    restrict_files();
    if (config.namespaces) {
        if (SYS(SYS_unshare, config.namespaces) < 0)
            SYS(SYS_exit_group, EXIT_STARTUP + 5);
        long inner = SYS(SYS_fork); // process 1 of the namespace: a guardian too, since an init cannot use CLONE_PARENT
        if (inner)
            guard(inner, -inner);
        SYS(SYS_setsid);
        end_with_parent();
    }
    long child = SYS(SYS_fork);
    if (child == 0)
        template();
    guard(child, -child); // all guests are in the template's process group, and none can leave it
}
asm(".globl _start\n_start: lea start_stack+8192(%rip), %rsp\n call start\n");
