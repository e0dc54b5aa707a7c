"""The ELF-64 object format (elf(5), linux/elf.h): what an exec looks at."""

import struct

ELFMAG = b"\x7fELF"
ET_EXEC = 2
ET_DYN = 3
EM_X86_64 = 62
EM_AARCH64 = 183

PT_LOAD = 1
PT_INTERP = 3
PT_PHDR = 6
PT_GNU_STACK = 0x6474E551

PF_X = 1
PF_W = 2
PF_R = 4

#: Elf64_Ehdr: e_ident e_type e_machine e_version e_entry e_phoff e_shoff e_flags e_ehsize e_phentsize e_phnum
#: e_shentsize e_shnum e_shstrndx.
EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
#: Elf64_Phdr: p_type p_flags p_offset p_vaddr p_paddr p_filesz p_memsz p_align.
PHDR = struct.Struct("<IIQQQQQQ")
