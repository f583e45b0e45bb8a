"""SQLite: one host, one file, several processes; the default."""
