/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Prints a dissector for Wireshark and tshark, in Lua, made from the lists of wire.h that the codec
 * is made from. A build step runs it:
 *
 *     tshark -X lua_script:haven.lua -r capture.pcap -O haven
 */
#include <stdio.h>

#include "frame.h"
#include "view.h"
#include "wire.h"

#define ETHERTYPE "0x88b5"
#define UDP_PORT "48556"
#define TAG_BYTES 16

struct field {
	const char *part, *width, *member, *text;
};

#define PART(name, list) static const struct field name##_fields[] = {list(name##_FIELD)};
#define header_FIELD(width, member, text) {"header", #width, #member, text},
#define beat_FIELD(width, member, text) {"beat", #width, #member, text},
#define proposal_FIELD(width, member, text) {"proposal", #width, #member, text},
#define view_FIELD(width, member, text) {"view", #width, #member, text},
#define instance_FIELD(width, member, text) {"instance", #width, #member, text},
#define mirror_FIELD(width, member, text) {"mirror", #width, #member, text},
#define ack_FIELD(width, member, text) {"ack", #width, #member, text},
#define digest_FIELD(width, member, text) {"digest", #width, #member, text},

PART(header, WIRE_HEADER)
PART(beat, WIRE_BEAT)
PART(proposal, WIRE_VIEW_HEAD)
PART(view, WIRE_VIEW)
PART(instance, WIRE_VIEW_INSTANCE)
PART(mirror, WIRE_MIRROR)
PART(ack, WIRE_MIRROR_ACK)
PART(digest, WIRE_DIGEST)

static const struct part {
	const char *name;
	const struct field *field;
	unsigned n;
} parts[] = {
#define PART_OF(name)                                                                              \
	{                                                                                          \
#name, name##_fields, sizeof(name##_fields) / sizeof(struct field)                 \
	}
	PART_OF(header),   PART_OF(beat),   PART_OF(proposal), PART_OF(view),
	PART_OF(instance), PART_OF(mirror), PART_OF(ack),      PART_OF(digest),
};

static void print_fields(const struct part *p)
{
	printf("local %s = {\n", p->name);
	for (unsigned i = 0; i < p->n; i++) {
		const struct field *f = &p->field[i];

		printf("\t{name = \"%s\", width = %s, field = ProtoField.uint%s(\"haven.%s.%s\", "
		       "\"%s\", %s)},\n",
		       f->member,
		       f->width[1] == '8'   ? "1"
		       : f->width[1] == '1' ? "2"
		       : f->width[1] == '3' ? "4"
					    : "8",
		       f->width + 1, p->name, f->member, f->text,
		       f->width[1] == '6' || f->width[1] == '3' ? "base.DEC_HEX" : "base.DEC");
	}
	puts("}");
}

static const char prologue[] =
	"-- SPDX-License-Identifier: BSD-3-Clause\n"
	"-- Made by the build from the description of the wire format; do not edit.\n"
	"local haven = Proto(\"haven\", \"Haven\")\n";

static const char types[] =
	"local payload = ProtoField.bytes(\"haven.payload\", \"Payload\")\n"
	"local sealed = ProtoField.bytes(\"haven.sealed\", \"Encrypted body\")\n"
	"local tag = ProtoField.bytes(\"haven.tag\", \"Tag\")\n"
	"local incarnation = ProtoField.uint64(\"haven.view.incarnation\", \"Incarnation\", "
	"base.DEC_HEX)\n";

static const char body[] =
	"local fields = {payload, sealed, tag, incarnation}\n"
	"for _, part in ipairs({header, beat, proposal, view, instance, mirror, ack, "
	"digest}) do\n"
	"\tfor _, f in ipairs(part) do fields[#fields + 1] = f.field end\n"
	"end\n"
	"haven.fields = fields\n"
	"\n"
	"-- Adds the fields of a part; returns what follows and the values by name.\n"
	"local function add(tree, part, buffer, at)\n"
	"\tlocal value = {}\n"
	"\tfor _, f in ipairs(part) do\n"
	"\t\tif at + f.width > buffer:len() then return at, nil end\n"
	"\t\tlocal range = buffer(at, f.width)\n"
	"\t\ttree:add_le(f.field, range)\n"
	"\t\tif f.width < 8 then value[f.name] = range:le_uint() end\n"
	"\t\tat = at + f.width\n"
	"\tend\n"
	"\treturn at, value\n"
	"end\n"
	"\n"
	"local function add_view(tree, buffer, at)\n"
	"\tlocal v\n"
	"\tat = add(tree, proposal, buffer, at)\n"
	"\tat, v = add(tree, view, buffer, at)\n"
	"\tif not v then return at end\n"
	"\tfor i = 1, v.n_nodes do\n"
	"\t\tif at + 8 > buffer:len() then return at end\n"
	"\t\ttree:add_le(incarnation, buffer(at, 8)):prepend_text(\"Node \" .. (i - 1) .. \": \")\n"
	"\t\tat = at + 8\n"
	"\tend\n"
	"\tfor i = 1, v.n_instances do\n"
	"\t\tat = add(tree:add(\"Instance \" .. (i - 1)), instance, buffer, at)\n"
	"\tend\n"
	"\treturn at\n"
	"end\n"
	"\n"
	"local function add_with_payload(tree, part, buffer, at)\n"
	"\tlocal m\n"
	"\tat, m = add(tree, part, buffer, at)\n"
	"\tif m and m.payload_bytes > 0 and at + m.payload_bytes <= buffer:len() then\n"
	"\t\ttree:add(payload, buffer(at, m.payload_bytes))\n"
	"\t\tat = at + m.payload_bytes\n"
	"\tend\n"
	"\treturn at\n"
	"end\n"
	"\n"
	"local function add_body(tree, kind, buffer, at)\n"
	"\tif kind == \"beat\" then return (add(tree, beat, buffer, at)) end\n"
	"\tif kind == \"view\" then return add_view(tree, buffer, at) end\n"
	"\tif kind == \"mirror\" then return add_with_payload(tree, mirror, buffer, at) end\n"
	"\tif kind == \"digest\" then return add_with_payload(tree, digest, buffer, at) end\n"
	"\tif kind == \"mirror-ack\" then return (add(tree, ack, buffer, at)) end\n"
	"\treturn at\n"
	"end\n"
	"\n"
	"function haven.dissector(buffer, packet, root)\n"
	"\tif buffer:len() < header_bytes or buffer(0, 2):le_uint() ~= magic then return 0 end\n"
	"\tlocal tree = root:add(haven, buffer())\n"
	"\tlocal at, h = add(tree:add(\"Header\"), header, buffer, 0)\n"
	"\tlocal kind = kinds[h.type] or \"unknown\"\n"
	"\tlocal after = at + h.body_bytes\n"
	"\tpacket.cols.protocol = \"Haven\"\n"
	"\tpacket.cols.info = kind .. \", node \" .. h.src .. \" to \" .. h.dst\n"
	"\ttree:append_text(\", \" .. kind)\n"
	"\tif after > buffer:len() then return buffer:len() end\n"
	"\tif h.sealed == 1 then\n"
	"\t\ttree:add(sealed, buffer(at, h.body_bytes))\n"
	"\telse\n"
	"\t\tadd_body(tree:add(\"Body\"), kind, buffer(0, after):tvb(), at)\n"
	"\tend\n"
	"\tif after + tag_bytes <= buffer:len() then tree:add(tag, buffer(after, tag_bytes)) end\n"
	"\treturn buffer:len()\n"
	"end\n";

int main(void)
{
	fputs(prologue, stdout);
	printf("local magic, header_bytes, tag_bytes = %u, %u, %d\n", FRAME_MAGIC,
	       FRAME_HEADER_BYTES, TAG_BYTES);
	printf("local kinds = {[%d] = \"beat\", [%d] = \"view\", [%d] = \"mirror\", "
	       "[%d] = \"mirror-ack\", [%d] = \"digest\"}\n",
	       FRAME_BEAT, FRAME_VIEW, FRAME_MIRROR, FRAME_MIRROR_ACK, FRAME_DIGEST);
	fputs(types, stdout);
	for (unsigned i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		print_fields(&parts[i]);
	fputs(body, stdout);
	puts("\nDissectorTable.get(\"ethertype\"):add(" ETHERTYPE ", haven)\n"
	     "DissectorTable.get(\"udp.port\"):add(" UDP_PORT ", haven)");
	return 0;
}
