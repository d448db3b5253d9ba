"""Everything Multitrack keeps: vocabulary, tables, events, tapes, search."""
