// Programs whose segments lie over the stub, wrap around, overlap, or promise more than there is.
#include "escape.h"
#include <elf.h>

int main(int argc, char **argv) {
    begin(argc, argv);
    unsigned long places[] = {STUB, STUB + 0x8000, STUB - 0x1000, 0x5ffffffff000, 0, 0x1000, 0x7ffffffff000, 0x7fffffffe000,
                              ~0ul - 0xfff, 1ul << 63, 0x600080000000, 0x400000};
    unsigned long sizes[] = {0x1000, 0, ~0ul, 1ul << 46, 1ul << 40, 0x200000000000, 16};
    for (unsigned p = 0; p < sizeof places / sizeof *places; p++)
        for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (int type = ET_EXEC; type <= ET_DYN; type++) {
                char image[4096] = {0};
                Elf64_Ehdr *head = (void *)image;
                Elf64_Phdr *segment = (void *)(image + sizeof *head);
                memcpy(head->e_ident, "\x7f" "ELF\2\1\1", 7);
                head->e_type = type, head->e_machine = EM_X86_64, head->e_version = 1, head->e_entry = places[p] + 512;
                head->e_phoff = sizeof *head, head->e_ehsize = sizeof *head, head->e_phentsize = sizeof *segment, head->e_phnum = 2;
                segment[0].p_type = PT_LOAD, segment[0].p_flags = 7, segment[0].p_vaddr = places[p];
                segment[0].p_filesz = s == 0 || s == 6 ? sizes[s] : 4096, segment[0].p_memsz = sizes[s], segment[0].p_align = 4096;
                segment[1] = segment[0];
                segment[1].p_vaddr = places[p] + 0x1000;
                // mov $231, %eax; xor %edi, %edi; syscall: exit_group(0), for what can be loaded
                memcpy(image + 512, "\xb8\xe7\x00\x00\x00\x31\xff\x0f\x05", 9);
                int fd = open("/tmp/program", O_WRONLY | O_CREAT | O_TRUNC, 0755);
                if (write(fd, image, sizeof image) < 0)
                    escaped("write");
                close(fd);
                IN_CHILD({ execl("/tmp/program", "program", (char *)0); });
            }
    contained();
}
