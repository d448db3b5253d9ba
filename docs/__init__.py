"""Documentation; its pictures are drawn by `docs.pictures`."""
