"""How a sweep in progress is shown: a live table, dated lines, or JSON lines."""
