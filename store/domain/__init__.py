"""The plain typed vocabulary: no SQLModel, no Textual, no I/O, no clock."""
