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
KERNEL_VERSIONS := $(patsubst $(K)/unwind/%.h,%,$(wildcard $(K)/unwind/*.h))

ifeq ($(filter $(VERSION),$(KERNEL_VERSIONS)),)
$(error expected VERSION to be one of: $(KERNEL_VERSIONS); found $(VERSION))
endif

KERNEL_DIRS := boot cpu entry sched mm sys trace dev lib
KERNEL_C := $(sort $(foreach dir,$(KERNEL_DIRS),$(wildcard $(K)/$(dir)/*.c)))
KERNEL_S := $(sort $(foreach dir,$(KERNEL_DIRS),$(wildcard $(K)/$(dir)/*.S)))

# What a version is made of: the walk, its own file, and services that not all versions need.
UNWIND_v13-08 := tasks.c
UNWIND_v13-10 := tasks.c srcu.c srcu.S
UNWIND_v6.17 := tasks.c srcu.c srcu.S
UNWIND_v6.19 := tasks.c srcu.c srcu.S
UNWIND_FILES := $(addprefix $(K)/unwind/,user.S $(VERSION).S $(UNWIND_$(VERSION)))
KERNEL_C += $(filter %.c,$(UNWIND_FILES))
KERNEL_S += $(filter %.S,$(UNWIND_FILES))
KERNEL_OBJS := $(KERNEL_C:$(K)/%.c=$(KOBJ)/%.c.o) $(KERNEL_S:$(K)/%.S=$(KOBJ)/%.S.o) \
	$(KOBJ)/layout-symbols.S.o

# Debug information names files from the project root, wherever that is.
KERNEL_CPPFLAGS := -I$(K)/include -I$(K)/unwind -DUNWIND_LAYOUT_H='"$(VERSION).h"' \
	-ffile-prefix-map=$(CURDIR)=.
KERNEL_CFLAGS := -std=gnu17 -ffreestanding -O2 -g -Wall -Wextra -Werror -mcmodel=kernel -fno-pic -fno-pie \
	-mno-red-zone -mgeneral-regs-only -fno-omit-frame-pointer -mno-omit-leaf-frame-pointer \
	-fno-optimize-sibling-calls -fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables \
	-fno-strict-aliasing -fno-builtin -fno-tree-loop-distribute-patterns
KERNEL_LDFLAGS := -nostdlib -static -z max-page-size=4096 -z noexecstack --no-warn-rwx-segments --build-id=none

.PHONY: kernel kernels kernel-clean
kernel: build/kernel.elf build/kernel.lst build/kernel.map.txt

# Every version; build/kernel.elf is still the one that VERSION names.
KERNEL_OTHERS := $(filter-out $(KERNEL_ELF),$(KERNEL_VERSIONS:%=build/kernel-%.elf))
kernels: kernel $(KERNEL_OTHERS)

$(KERNEL_OTHERS): build/kernel-%.elf: kernel-force
	@$(MAKE) -s --no-print-directory -f $(K)/build.mk VERSION=$* $@

# Rewritten only when VERSION changes, so that build/kernel.elf is always the version asked for last.
build/obj/kernel-version: kernel-force
	@mkdir -p $(@D)
	@[ "$$(cat $@ 2>/dev/null)" = $(VERSION) ] || echo $(VERSION) > $@

.PHONY: kernel-force
kernel-force:

build/kernel.elf: $(KERNEL_ELF) build/obj/kernel-version
	@cp $< $@

build/kernel.lst: build/kernel.elf
	@echo "  OBJDUMP $@"
	@$(KERNEL_OBJDUMP) -dS --no-show-raw-insn $< > $@

build/kernel.map.txt: build/kernel.elf
	@echo "  NM      $@"
	@$(KERNEL_NM) -n -S $< > $@

$(KERNEL_ELF): $(KERNEL_OBJS) $(KOBJ)/kernel.ld
	@echo "  LD      $@"
	@$(KERNEL_LD) $(KERNEL_LDFLAGS) -T $(KOBJ)/kernel.ld -o $@ $(KERNEL_OBJS)

$(KOBJ)/kernel.ld: $(K)/kernel.lds $(K)/include/layout.h
	@mkdir -p $(@D)
	@$(KERNEL_CC) $(KERNEL_CPPFLAGS) -E -P -x c $< -o $@

$(KOBJ)/%.c.o: $(K)/%.c
	@echo "  CC      $@"
	@mkdir -p $(@D)
	@$(KERNEL_CC) $(KERNEL_CPPFLAGS) $(KERNEL_CFLAGS) -MMD -MP -c $< -o $@

$(KOBJ)/%.S.o: $(K)/%.S
	@echo "  AS      $@"
	@mkdir -p $(@D)
	@$(KERNEL_CC) $(KERNEL_CPPFLAGS) -g -MMD -MP -c $< -o $@

$(KOBJ)/%.S.o: $(KOBJ)/%.S
	@echo "  AS      $@"
	@$(KERNEL_CC) $(KERNEL_CPPFLAGS) -MMD -MP -c $< -o $@

# Every `#define NAME number` of the layout headers as an absolute symbol. Quotes keep the preprocessor
# from replacing the name itself.
$(KOBJ)/layout-symbols.S: $(K)/include/layout.h $(K)/unwind/$(VERSION).h $(K)/build.mk
	@mkdir -p $(@D)
	@{ echo '#include "layout.h"'; \
	sed -n 's/^#define \([A-Za-z_][A-Za-z0-9_]*\)[[:space:]]\{1,\}[0-9].*/.globl "\1"\n.set "\1", \1/p' \
		$(filter %.h,$^); } > $@

kernel-clean:
	rm -rf build/obj/kernel-* build/kernel*.elf build/kernel.lst build/kernel.map.txt

-include $(KERNEL_OBJS:.o=.d)
