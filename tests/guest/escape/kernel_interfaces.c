// Parts of the host kernel that programs have been broken out by: each must be absent.
#include "escape.h"
#include <sys/sysmacros.h>

int main(int argc, char **argv) {
    begin(argc, argv);
    take_stub_page();
    static char area[8192];
    static const struct { int nr; long a, b, c; const char *name; } calls[] = {
        {SYS_bpf, 0, (long)area, 120, "bpf"},
        {SYS_bpf, 5, (long)area, 120, "bpf"},
        {425, 8, (long)area, 0, "io_uring_setup"},
        {SYS_userfaultfd, 0, 0, 0, "userfaultfd"},
        {SYS_userfaultfd, 1, 0, 0, "userfaultfd"},
        {SYS_perf_event_open, (long)area, 0, -1, "perf_event_open"},
        {SYS_keyctl, 0, -3, 1, "keyctl"},
        {SYS_add_key, (long)"user", (long)"x", (long)"y", "add_key"},
        {SYS_init_module, (long)area, 100, (long)"", "init_module"},
        {SYS_finit_module, 0, (long)"", 0, "finit_module"},
        {SYS_kexec_load, 0, 0, 0, "kexec_load"},
        {SYS_reboot, 0xfee1dead, 672274793, 0, "reboot"},
        {SYS_swapon, (long)"/tmp/x", 0, 0, "swapon"},
        {SYS_acct, (long)"/tmp/x", 0, 0, "acct"},
        {SYS_iopl, 3, 0, 0, "iopl"},
        {SYS_ioperm, 0, 1024, 1, "ioperm"},
        {SYS_modify_ldt, 1, (long)area, 16, "modify_ldt"},
        {SYS_fanotify_init, 0, 0, 0, "fanotify_init"},
        {SYS_open_by_handle_at, -100, (long)area, 0, "open_by_handle_at"},
        {SYS_lookup_dcookie, 0, (long)area, 100, "lookup_dcookie"},
        {SYS_quotactl, 0x800002, 0, 0, "quotactl"},
        {SYS_nfsservctl, 0, 0, 0, "nfsservctl"},
        {428, -100, (long)"/", 1, "open_tree"},
        {430, (long)"tmpfs", 0, 0, "fsopen"},
        {447, 0, 0, 0, "memfd_secret"},
        {SYS_mbind, (long)area, 4096, 0, "mbind"},
        {SYS_migrate_pages, 0, 0, 0, "migrate_pages"},
        {SYS_vhangup, 0, 0, 0, "vhangup"},
        {SYS_settimeofday, (long)area, 0, 0, "settimeofday"},
        {SYS_clock_settime, 0, (long)area, 0, "clock_settime"},
        {SYS_pivot_root, (long)"/", (long)"/tmp", 0, "pivot_root"},
        {SYS_mount, (long)"proc", (long)"/tmp", (long)"proc", "mount"},
    };
    for (unsigned i = 0; i < sizeof calls / sizeof *calls; i++) {
        long r = RAW(calls[i].nr, calls[i].a, calls[i].b, calls[i].c);
        long s = STUB_RAW(calls[i].nr, calls[i].a, calls[i].b, calls[i].c);
        if (r >= 0 || s >= 0)
            escaped("%s: %ld, from the stub's addresses %ld", calls[i].name, r, s);
    }
    // Device files that lead to memory, disks or consoles.
    static const char *devices[] = {"/dev/mem", "/dev/kmem", "/dev/port", "/dev/kvm", "/dev/sda", "/dev/vda", "/dev/kmsg",
                                    "/dev/fuse", "/dev/net/tun", "/dev/uinput", "/sys/kernel", "/proc/kcore", "/proc/sysrq-trigger"};
    for (unsigned i = 0; i < sizeof devices / sizeof *devices; i++)
        if (open(devices[i], O_RDWR) >= 0)
            escaped("%s opens", devices[i]);
    mknod("/tmp/disk", S_IFBLK | 0666, makedev(254, 0));
    if (open("/tmp/disk", O_RDONLY) >= 0)
        escaped("a block device of our own");
    mknod("/tmp/mem", S_IFCHR | 0666, makedev(1, 1));
    if (open("/tmp/mem", O_RDONLY) >= 0)
        escaped("/dev/mem of our own");
    contained();
}
