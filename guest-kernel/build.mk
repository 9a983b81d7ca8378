# SPDX-License-Identifier: GPL-2.0-only
# The guest kernel. Included by the Makefile, or alone from the project root: make -f guest-kernel/build.mk
# VERSION chooses the mechanism: guest-kernel/unwind/$(VERSION).S with its layout in $(VERSION).h.

VERSION ?= v13-06

KERNEL_CC ?= gcc
KERNEL_LD ?= ld
KERNEL_OBJDUMP ?= objdump
KERNEL_NM ?= nm

K := guest-kernel
KOBJ := build/obj/kernel-$(VERSION)
KERNEL_ELF := build/kernel-$(VERSION).elf

KERNEL_DIRS := boot cpu entry sched mm sys trace dev lib
KERNEL_C := $(sort $(foreach dir,$(KERNEL_DIRS),$(wildcard $(K)/$(dir)/*.c)))
KERNEL_S := $(sort $(foreach dir,$(KERNEL_DIRS),$(wildcard $(K)/$(dir)/*.S))) $(K)/unwind/user.S $(K)/unwind/$(VERSION).S
KERNEL_OBJS := $(KERNEL_C:$(K)/%.c=$(KOBJ)/%.c.o) $(KERNEL_S:$(K)/%.S=$(KOBJ)/%.S.o) $(KOBJ)/layout-symbols.o

# The version's layout header; the debug information names files from the project root.
KERNEL_CPPFLAGS := -I$(K)/include -I$(K)/unwind -DUNWIND_LAYOUT_H='"$(VERSION).h"' -MMD -MP -ffile-prefix-map=$(CURDIR)=.
KERNEL_CFLAGS := -std=gnu17 -ffreestanding -O2 -g -Wall -Wextra -Werror \
	-mno-red-zone -mgeneral-regs-only -mcmodel=kernel -fno-pic -fno-pie -fno-stack-protector -fcf-protection=none \
	-fno-omit-frame-pointer -mno-omit-leaf-frame-pointer -fno-optimize-sibling-calls -fno-asynchronous-unwind-tables \
	-fno-strict-aliasing -fno-builtin -fno-jump-tables
KERNEL_LDFLAGS := -nostdlib -static -z max-page-size=4096 -z noexecstack --no-warn-rwx-segments --build-id=none -T $(KOBJ)/kernel.ld

.PHONY: kernel kernel-clean
kernel: build/kernel.elf $(KERNEL_ELF) build/kernel.lst build/kernel.map.txt

build/kernel.elf: $(KERNEL_ELF)
	cp $< $@

build/kernel.lst: $(KERNEL_ELF)
	$(KERNEL_OBJDUMP) -dS --no-show-raw-insn $< > $@

build/kernel.map.txt: $(KERNEL_ELF)
	$(KERNEL_NM) -n -S $< > $@

$(KERNEL_ELF): $(KERNEL_OBJS) $(KOBJ)/kernel.ld
	@echo "  LD      $@"
	@$(KERNEL_LD) $(KERNEL_LDFLAGS) -o $@ $(KERNEL_OBJS)

$(KOBJ)/kernel.ld: $(K)/kernel.lds $(K)/include/layout.h
	@mkdir -p $(@D)
	@$(KERNEL_CC) $(filter -I% -D%,$(KERNEL_CPPFLAGS)) -E -P -x c $< -o $@

$(KOBJ)/%.c.o: $(K)/%.c
	@mkdir -p $(@D)
	@echo "  CC      $@"
	@$(KERNEL_CC) $(KERNEL_CPPFLAGS) $(KERNEL_CFLAGS) -c $< -o $@

$(KOBJ)/%.S.o: $(K)/%.S
	@mkdir -p $(@D)
	@echo "  CC      $@"
	@$(KERNEL_CC) $(KERNEL_CPPFLAGS) -g -c $< -o $@

# Every `#define NAME number` of the layout headers as an absolute symbol. Quoted names escape the preprocessor.
$(KOBJ)/layout-symbols.S: $(K)/include/layout.h $(K)/unwind/$(VERSION).h
	@mkdir -p $(@D)
	(echo '#include "layout.h"'; \
	sed -n 's/^#define \([A-Za-z_][A-Za-z0-9_]*\)[[:space:]]\{1,\}[0-9].*/\1/p' $^ | \
	while read -r name; do printf '.globl "%s"\n.set "%s", %s\n' "$$name" "$$name" "$$name"; done) > $@

$(KOBJ)/layout-symbols.o: $(KOBJ)/layout-symbols.S
	@echo "  CC      $@"
	@$(KERNEL_CC) $(KERNEL_CPPFLAGS) -c $< -o $@

kernel-clean:
	rm -rf build/obj/kernel-* build/kernel*.elf build/kernel.lst build/kernel.map.txt

-include $(KERNEL_OBJS:.o=.d)
