"""How much the database holds, and what its counts say about the library."""
