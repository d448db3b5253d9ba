"""What is drawn. A widget takes plain values and posts messages; it starts nothing."""
