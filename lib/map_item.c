/* SPDX-License-Identifier: MIT */
/* Items and results: who holds one frees it. */
#include "map.h"

void jt_item_done(struct jt_item *item)
{
	if (item->release)
		item->release(item->data);
	*item = (struct jt_item){ 0 };
}

void jt_map_result_done(struct jt_map_result *r)
{
	jt_item_done(&r->item);
	jt_item_done(&r->output);
}
