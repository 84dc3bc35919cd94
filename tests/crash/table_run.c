/* SPDX-License-Identifier: BSD-3-Clause */
/* Steps that the operations on tables, regions and dirty ones have in common. */
#include "table_stage.h"

void table_run_commit(struct crash_case *c)
{
	(void)c;
	table_commit(&yard_table, TABLE_LANE);
}

void table_run_applied(struct crash_case *c)
{
	table_applied(&yard_table, TABLE_LANE, table_stage(c)->committed_after);
}

void table_run_clear(struct crash_case *c)
{
	table_lane_clear(&yard_table, TABLE_LANE, table_stage(c)->committed_after);
}

void table_run_begin(struct crash_case *c)
{
	(void)c;
	table_lane_begin(&yard_table, TABLE_LANE);
}

void table_open(struct crash_case *c)
{
	crash_region_add(c, yard_table.base, yard_table.geometry.total_bytes);
}

void table_look(struct crash_case *c)
{
	table_view(c, false);
	table_recover(c);
}

void table_world(struct crash_case *c)
{
	table_view(c, false);
}
