"""The tables, a module each: its name is that of the table, the first line of its docstring says what it measures."""
