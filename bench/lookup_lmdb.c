/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * LMDB: like the registry a file that other processes read. In memory, without syncs, filled in
 * order, which is its fastest form. Its read transaction is renewed once per burst or per look-up.
 */
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lookup.h"

#define MAP_BYTES (2ull << 30)
#define FILL_BATCH 4096u

static struct {
	MDB_env *env;
	MDB_dbi dbi;
	MDB_txn *txn[CREW_MAX];
	uint64_t updates;
} db;

static int tell(int status)
{
	if (status)
		fprintf(stderr, "haven-bench: LMDB: %s\n", mdb_strerror(status));
	return status ? 1 : 0;
}

static int put(MDB_txn *txn, const struct registry_key *name, uint64_t value, unsigned flags)
{
	MDB_val key = {sizeof(*name), (void *)(uintptr_t)name}, data = {sizeof(value), &value};

	return mdb_put(txn, db.dbi, &key, &data, flags);
}

static int fill(const struct lookup_keys *k)
{
	int status = 0;

	for (uint32_t i = 0; i < k->n && !status;) {
		MDB_txn *txn;

		status = mdb_txn_begin(db.env, NULL, 0, &txn);
		if (status)
			break;
		status = mdb_dbi_open(txn, NULL, 0, &db.dbi);
		for (uint32_t b = 0; b < FILL_BATCH && i < k->n && !status; b++, i++) {
			struct registry_key key;

			lookup_name(&key, i);
			status = put(txn, &key, i, MDB_APPEND);
		}
		if (status)
			mdb_txn_abort(txn);
		else
			status = mdb_txn_commit(txn);
	}
	return status;
}

static int build(const struct lookup_keys *k, const struct crew *crew, const char *scratch)
{
	const unsigned flags = MDB_NOSUBDIR | MDB_NOSYNC | MDB_NOMETASYNC | MDB_WRITEMAP;
	char path[128];
	int status;

	(void)crew;
	snprintf(path, sizeof(path), "%.100s/lmdb", scratch);
	status = mdb_env_create(&db.env);
	if (!status)
		status = mdb_env_set_mapsize(db.env, MAP_BYTES);
	if (!status)
		status = mdb_env_open(db.env, path, flags, 0600);
	return tell(status ? status : fill(k));
}

static void destroy(void)
{
	mdb_env_close(db.env);
}

static int begin(struct crew_member *m)
{
	int status = mdb_txn_begin(db.env, NULL, MDB_RDONLY, &db.txn[m->number]);

	if (!status)
		mdb_txn_reset(db.txn[m->number]);
	return tell(status);
}

static void end(struct crew_member *m)
{
	mdb_txn_abort(db.txn[m->number]);
}

static void update(const struct lookup_keys *k, uint32_t first, uint32_t count)
{
	MDB_txn *txn;

	if (mdb_txn_begin(db.env, NULL, 0, &txn))
		return;
	for (uint32_t i = 0; i < count; i++)
		put(txn, &k->name[first + i], ++db.updates, 0);
	mdb_txn_commit(txn);
}

static bool get(MDB_txn *txn, const struct registry_key *name, uint64_t *sum)
{
	MDB_val key = {sizeof(*name), (void *)(uintptr_t)name}, data;
	uint64_t value;

	if (mdb_get(txn, db.dbi, &key, &data))
		return false;
	memcpy(&value, data.mv_data, sizeof(value));
	*sum += value;
	return true;
}

static unsigned look(struct crew_member *m, const struct lookup_keys *k, uint32_t first)
{
	MDB_txn *txn = db.txn[m->number];
	uint64_t sum = 0;
	unsigned found = 0;

	if (mdb_txn_renew(txn))
		return 0;
	for (uint32_t i = 0; i < LOOKUP_BURST; i++)
		found += get(txn, &k->name[first + i], &sum);
	mdb_txn_reset(txn);
	bench_keep(&sum);
	return found;
}

static unsigned look_each(struct crew_member *m, const struct lookup_keys *k, uint32_t first)
{
	MDB_txn *txn = db.txn[m->number];
	uint64_t sum = 0;
	unsigned found = 0;

	for (uint32_t i = 0; i < LOOKUP_BURST; i++) {
		if (mdb_txn_renew(txn))
			return 0;
		found += get(txn, &k->name[first + i], &sum);
		mdb_txn_reset(txn);
	}
	bench_keep(&sum);
	return found;
}

const struct lookup_store store_lmdb = {.name = "LMDB",
					.build = build,
					.destroy = destroy,
					.begin = begin,
					.end = end,
					.update = update,
					.update_batch = 16};
const struct lookup_way way_lmdb = {"LMDB, renewed per burst", &store_lmdb, look};
const struct lookup_way way_lmdb_each = {"LMDB, renewed per get", &store_lmdb, look_each};
