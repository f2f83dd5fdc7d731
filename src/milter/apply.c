/* The only calls of smfi_* that change a message. */
#include "milter/milter.h"

static bool apply_edit(SMFICTX *ctx, const struct edit *e)
{
	switch (e->kind) {
	case EDIT_DELETE:
		return smfi_chgheader(ctx, unconst(e->name), (int)e->index,
				      NULL) == MI_SUCCESS;
	case EDIT_CHANGE:
		return smfi_chgheader(ctx, unconst(e->name), (int)e->index,
				      unconst(e->value)) == MI_SUCCESS;
	case EDIT_INSERT:
		return smfi_insheader(ctx, (int)e->index, unconst(e->name),
				      unconst(e->value)) == MI_SUCCESS;
	}
	return false;
}

bool apply_edits(SMFICTX *ctx, const struct edits *edits)
{
	for (size_t i = 0; i < edits->n; i++)
		if (!apply_edit(ctx, &edits->v[i]))
			return false;
	return true;
}
