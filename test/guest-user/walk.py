"""Runs one guest program on this host's Linux under gdb, stops it at system calls, walks its frame pointers by Linux's
rules, and writes one JSON object a line for each stop. Written for an oracle: it knows nothing of this project's code.

  gdb -batch -x walk.py PROGRAM      with, in the environment,
    WALK_OUTPUT    the file to write to
    WALK_ARGUMENTS the program's arguments, separated by blanks
    WALK_SYSCALLS  names of the system calls to stop at, separated by blanks
    WALK_LIMIT     the number of entries that a walk stores at most
    WALK_FOLLOW    parent or child: which one to stay with after a fork; the other runs free

The rules are Linux's kernel/unwind/user.c unwind_user() and unwind_user_next_common(), for 64-bit frame pointers.
"""

import json
import os
import struct

import gdb

WORD = 8
MASK = (1 << 64) - 1
USER_END = 0x7FFFFFFFF000  # TASK_SIZE_MAX: get_user() refuses what ends beyond it
ENOSYS = -38  # what rax holds while a system call is entered, and not when it is left


def register(name):
    return int(gdb.parse_and_eval(f"(long)${name}")) & MASK


def read_word(address):
    """The word of the program's memory, or None where the kernel's get_user() would give -EFAULT."""
    if address + WORD > USER_END:
        return None
    try:
        return struct.unpack("<Q", gdb.selected_inferior().read_memory(address, WORD).tobytes())[0]
    except gdb.MemoryError:
        return None


def step(sp, fp):
    """The reason why the walk ends here, or the return address and the caller's sp and fp."""
    cfa = (fp + 2 * WORD) & MASK
    if fp < sp:
        return "fp-below-sp"
    if cfa <= sp:
        return "cfa-not-above-sp"
    if cfa % WORD:
        return "misaligned"
    ra = read_word(cfa - WORD)
    if ra is None:
        return "return-address-unreadable"
    saved = read_word(cfa - 2 * WORD)
    if saved is None:
        return "frame-pointer-unreadable"
    return ra, cfa, saved


def walk(limit):
    ip, sp, fp = register("rip"), register("rsp"), register("rbp")
    entries = []
    while True:
        entries.append(f"{ip:#x}")
        if len(entries) >= limit:
            return entries, "limit"
        found = step(sp, fp)
        if isinstance(found, str):
            return entries, found
        ip, sp, fp = found


def main():
    limit = int(os.environ["WALK_LIMIT"])
    for command in (
        "set confirm off",
        "set startup-with-shell off",
        "set follow-fork-mode " + os.environ["WALK_FOLLOW"],
        "handle all nostop noprint pass",
        "set args " + os.environ["WALK_ARGUMENTS"],
        "catch syscall " + os.environ["WALK_SYSCALLS"],
        "run",
    ):
        gdb.execute(command, to_string=True)

    with open(os.environ["WALK_OUTPUT"], "w", encoding="ascii") as output:
        while gdb.selected_inferior().pid:
            if register("rax") == ENOSYS & MASK:
                entries, ends = walk(limit)
                stop = {"syscall": register("orig_rax"), "argument": f"{register('rdi'):#x}"}
                print(json.dumps({**stop, "entries": entries, "ends": ends}), file=output)
            gdb.execute("continue", to_string=True)


main()
