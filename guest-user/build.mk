# Guest programs: build/user/NAME.elf, and beside each its listing NAME.lst and its symbols NAME.map.txt.
# Included by the Makefile; `make -f guest-user/build.mk` works as well. One image per source, and the variants below.

USER_CC      := gcc
USER_OBJECTS := build/obj/user
USER_SOURCES := $(wildcard guest-user/*.c guest-user/*.S)

# Frame pointers everywhere, one function one frame. The prefix map keeps the place of the build out of the DWARF.
USER_CFLAGS := -std=gnu17 -O1 -g -Wall -Wextra -ffreestanding -fno-pic -fdebug-prefix-map=$(CURDIR)=. \
  -fno-omit-frame-pointer -mno-omit-leaf-frame-pointer -fno-optimize-sibling-calls -fno-inline \
  -fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables

# Code, read-only data and data on pages of their own; nothing but code is executable.
USER_LDFLAGS := -static -nostdlib -no-pie -Wl,-z,separate-code -Wl,-z,noexecstack -Wl,--build-id=none

# Made frame chains stand apart from the rest of the image, with nothing mapped before and behind them.
USER_LDFLAGS_broken    := -Wl,--section-start=.frames=0x500000
USER_LDFLAGS_untouched := -Wl,--section-start=.frames=0x500000

.PHONY: user
user:

# user_object NAME SOURCE FLAGS: the object of one image.
define user_object
USER_NAMES += $(1)
$(USER_OBJECTS)/$(1).o: $(2) guest-user/build.mk | $(USER_OBJECTS)
	$(USER_CC) $(USER_CFLAGS) $(3) -MMD -MP -c $$< -o $$@
endef

$(foreach source,$(USER_SOURCES),$(eval $(call user_object,$(basename $(notdir $(source))),$(source))))

# Variants: another image of the same source.
$(eval $(call user_object,deep,guest-user/recursion.c,-DDEPTH=600))
$(eval $(call user_object,lisp-nofp,guest-user/lisp.c,-fomit-frame-pointer))

USER_LIB_OBJECTS := \
  $(patsubst guest-user/lib/%,$(USER_OBJECTS)/lib/%.o,$(basename $(wildcard guest-user/lib/*.c guest-user/lib/*.S)))

$(USER_OBJECTS)/lib/%.o: guest-user/lib/%.c guest-user/build.mk | $(USER_OBJECTS)
	$(USER_CC) $(USER_CFLAGS) -MMD -MP -c $< -o $@
$(USER_OBJECTS)/lib/%.o: guest-user/lib/%.S guest-user/build.mk | $(USER_OBJECTS)
	$(USER_CC) $(USER_CFLAGS) -MMD -MP -c $< -o $@

# A program gets from the archive only what it calls; crt0 it always gets.
$(USER_OBJECTS)/libuser.a: $(filter-out %/crt0.o,$(USER_LIB_OBJECTS))
	rm -f $@
	ar rcsD $@ $^

build/user/%.elf: $(USER_OBJECTS)/%.o $(USER_OBJECTS)/lib/crt0.o $(USER_OBJECTS)/libuser.a | build/user
	$(USER_CC) $(USER_LDFLAGS) $(USER_LDFLAGS_$*) -o $@ $(USER_OBJECTS)/lib/crt0.o $< $(USER_OBJECTS)/libuser.a
build/user/%.lst: build/user/%.elf
	objdump --disassemble --source $< > $@
build/user/%.map.txt: build/user/%.elf
	nm --numeric-sort --print-size $< > $@

$(USER_OBJECTS):
	mkdir -p $@/lib
build/user:
	mkdir -p $@

USER_IMAGES := $(USER_NAMES:%=build/user/%.elf)
user: $(USER_IMAGES) $(USER_IMAGES:.elf=.lst) $(USER_IMAGES:.elf=.map.txt)

.SECONDARY: $(USER_NAMES:%=$(USER_OBJECTS)/%.o) $(USER_LIB_OBJECTS)
-include $(USER_NAMES:%=$(USER_OBJECTS)/%.d) $(USER_LIB_OBJECTS:.o=.d)
