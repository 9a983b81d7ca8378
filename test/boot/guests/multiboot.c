/*
 * A multiboot kernel that prints what its loader has given it, and ends by the debug-exit port. Both versions of the
 * specification are in it; VERSION chooses one. Lines begin with a word, so that a test can leave out those by which loaders may differ.
 *
 *   -DVERSION=1 or 2      the specification
 *   -DADDRESSES           the header has the address fields (1) or the address and entry tags (2)
 *   -DTAGS=words          further tags of a version 2 header, each padded to 8 bytes
 *   -DFLAGS=bits          the flags of a version 1 header; bit 16 comes with ADDRESSES
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define IN_FRONT __attribute__((section(".multiboot"), used, aligned(8)))

extern char image_start[], image_end[], bss_end[], start[];

#ifndef FLAGS
#define FLAGS 3
#endif

#if VERSION == 1
#ifdef ADDRESSES
#define HEADER_FLAGS (FLAGS | 1 << 16)
#else
#define HEADER_FLAGS (FLAGS)
#endif
#define MAGIC 0x1badb002
static const struct {
	u32 magic, flags, checksum;
#ifdef ADDRESSES
	void *header, *load, *load_end, *bss_end, *entry;
#endif
} header IN_FRONT = {
	MAGIC, HEADER_FLAGS, -(MAGIC + HEADER_FLAGS),
#ifdef ADDRESSES
	(void *)&header, image_start, image_end, bss_end, start,
#endif
};
#else
#define MAGIC 0xe85250d6
static const struct {
	u32 magic, architecture, length, checksum;
#ifdef ADDRESSES
	struct { u16 type, flags; u32 size; void *header, *load, *load_end, *bss_end; } addresses;
	struct { u16 type, flags; u32 size; void *entry; u32 pad; } entry;
#endif
#ifdef TAGS
	u32 tags[sizeof((u32[]){ TAGS }) / sizeof(u32)];
#endif
	struct { u16 type, flags; u32 size; } end;
} header IN_FRONT = {
	MAGIC, 0, sizeof(header), -(MAGIC + sizeof(header)),
#ifdef ADDRESSES
	{ 2, 0, 24, (void *)&header, image_start, image_end, bss_end },
	{ 3, 0, 12, start, 0 },
#endif
#ifdef TAGS
	{ TAGS },
#endif
	{ 0, 0, 8 },
};
#endif

char stack[4096] __attribute__((aligned(16)));

/* Registers as the loader has left them; the stack is the kernel's own. */
asm(".globl start\n"
    "start:\n"
    "	mov $stack + 4096, %esp\n"
    "	pushf\n"
    "	push %ebx\n"
    "	push %eax\n"
    "	call kernel\n");

/* Not zero when the loader has left something in the BSS. */
static u32 zeroed[64];

static void out8(u16 port, u8 value) { asm volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
static u8 in8(u16 port)
{
	u8 value;
	asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static void put(char c)
{
	while (!(in8(0x3fd) & 0x20))
		;
	out8(0x3f8, c);
}
static void text(const char *s)
{
	while (*s)
		put(*s++);
}
static void hex(u64 value)
{
	int shift = 60;
	while (shift > 0 && !(value >> shift & 15))
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		put("0123456789abcdef"[value >> shift & 15]);
}
static void word(const char *name, u64 value)
{
	put(' ');
	text(name);
	put(' ');
	hex(value);
}

static void module(u32 from, u32 to, const char *arguments)
{
	u32 sum = 0;
	for (u32 at = from; at < to; at++)
		sum = sum * 31 + *(u8 *)at;
	text("module \"");
	text(arguments);
	put('"');
	word("bytes", to - from);
	word("sum", sum);
	text(from & 4095 ? " unaligned" : " on a page");
	text(from < (u32)bss_end ? " over the image\n" : " behind the image\n");
}

static void range(u64 start, u64 length, u32 type)
{
	text("map");
	word("from", start);
	word("to", start + length);
	word("type", type);
	put('\n');
}

#if VERSION == 1
static void information(u32 *info)
{
	u32 flags = info[0];
	/* Not asked for: whether there is a boot device, or a symbol table. */
	text("information");
	word("memory", flags & 1);
	word("modules", flags >> 3 & 1);
	word("map", flags >> 6 & 1);
	word("loader", flags >> 9 & 1);
	text("\nlower");
	word("kib", info[1]);
	text("\nupper");
	word("kib", info[2]);
	text("\nloader ");
	text((char *)info[16]);
	if (flags & 4) {
		text("\ncommand line \"");
		text((char *)info[4]);
		text("\"\n");
	}
	for (u32 i = 0, *mod = (u32 *)info[6]; i < info[5]; i++, mod += 4)
		module(mod[0], mod[1], (char *)mod[2]);
	for (u32 at = info[12]; at < info[12] + info[11]; at += *(u32 *)at + 4)
		range(*(u64 *)(at + 4), *(u64 *)(at + 12), *(u32 *)(at + 20));
}
#else
static void information(u32 *info)
{
	u32 end = (u32)info + info[0];
	for (u32 at = (u32)info + 8; at < end;) {
		u32 *tag = (u32 *)at;
		switch (tag[0]) {
		case 0:
			text("end");
			word("left", end - at - tag[1]);
			put('\n');
			break;
		case 1:
			text("command line \"");
			text((char *)(tag + 2));
			text("\"\n");
			break;
		case 2:
			text("loader ");
			text((char *)(tag + 2));
			put('\n');
			break;
		case 3:
			module(tag[2], tag[3], (char *)(tag + 4));
			break;
		case 4:
			text("lower");
			word("kib", tag[2]);
			text("\nupper");
			word("kib", tag[3]);
			put('\n');
			break;
		case 6:
			for (u32 *entry = tag + 4; (u32)entry < at + tag[1]; entry += tag[2] / 4)
				range(*(u64 *)entry, *(u64 *)(entry + 2), entry[4]);
			break;
		case 21:
			text("base");
			word("at", tag[2]);
			word("linked", (u32)image_start);
			put('\n');
			break;
		}
		at += (tag[1] + 7) & ~7;
	}
}
#endif

void kernel(u32 magic, u32 *info, u32 eflags)
{
	u32 cr0, used = 0;
	asm volatile("mov %%cr0, %0" : "=r"(cr0));
	for (int i = 0; i < 64; i++)
		used |= zeroed[i];
	out8(0x3fb, 0x03); /* 8 bits; the speed is nobody's business */
	text("entry");
	word("magic", magic);
	word("pe", cr0 & 1);
	word("pg", cr0 >> 31);
	word("if", eflags >> 9 & 1);
	word("vm", eflags >> 17 & 1);
	text(used ? " bss dirty\n" : " bss zero\n");
	information(info);
	asm volatile("outl %0, $0xf4" : : "a"(0x10));
	for (;;)
		asm volatile("hlt");
}
