"""Other libraries, each asked in a process of its own."""
