/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The one checked cursor over bytes: wire frames and shared-memory messages are read and written
 * through it and through nothing else. Integers are little-endian on the wire. A read or write
 * past the end makes the cursor fail; failure is sticky and reads then give zero, so a caller
 * checks once, at the end.
 */
#ifndef HAVEN_BYTES_H
#define HAVEN_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes_reader {
	const uint8_t *at;
	size_t left;
	bool failed;
};

struct bytes_writer {
	uint8_t *start;
	size_t used;
	size_t size;
	bool failed;
};

static inline struct bytes_reader bytes_reader_init(const void *data, size_t size)
{
	return (struct bytes_reader){.at = data, .left = size, .failed = false};
}

static inline struct bytes_writer bytes_writer_init(void *data, size_t size)
{
	return (struct bytes_writer){.start = data, .used = 0, .size = size, .failed = false};
}

/** Pointer to the next `n` bytes, which are then consumed; NULL (and failure) past the end. */
static inline const uint8_t *bytes_take(struct bytes_reader *r, size_t n)
{
	const uint8_t *at = r->at;

	if (r->failed || n > r->left) {
		r->failed = true;
		return NULL;
	}
	r->at += n;
	r->left -= n;
	return at;
}

/** Room for `n` bytes; NULL (and failure) when there is none. */
static inline uint8_t *bytes_room(struct bytes_writer *w, size_t n)
{
	uint8_t *at = w->start + w->used;

	if (w->failed || n > w->size - w->used) {
		w->failed = true;
		return NULL;
	}
	w->used += n;
	return at;
}

#define BYTES_INT(type, name)                                                                      \
	static inline type bytes_get_##name(struct bytes_reader *r)                                \
	{                                                                                          \
		const uint8_t *p = bytes_take(r, sizeof(type));                                    \
		type v = 0;                                                                        \
                                                                                                   \
		for (size_t i = 0; p && i < sizeof(type); i++)                                     \
			v = (type)(v | (type)((type)p[i] << (8 * i)));                             \
		return v;                                                                          \
	}                                                                                          \
	static inline void bytes_put_##name(struct bytes_writer *w, type v)                        \
	{                                                                                          \
		uint8_t *p = bytes_room(w, sizeof(type));                                          \
                                                                                                   \
		for (size_t i = 0; p && i < sizeof(type); i++)                                     \
			p[i] = (uint8_t)(v >> (8 * i));                                            \
	}

BYTES_INT(uint8_t, u8)
BYTES_INT(uint16_t, u16)
BYTES_INT(uint32_t, u32)
BYTES_INT(uint64_t, u64)
#undef BYTES_INT

static inline void bytes_get(struct bytes_reader *r, void *to, size_t n)
{
	const uint8_t *p = bytes_take(r, n);

	if (p)
		memcpy(to, p, n);
	else
		memset(to, 0, n);
}

static inline void bytes_put(struct bytes_writer *w, const void *from, size_t n)
{
	uint8_t *p = bytes_room(w, n);

	if (p && n)
		memcpy(p, from, n);
}

#endif
