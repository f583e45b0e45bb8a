"""PostgreSQL 14 or later: many hosts, one database; its clock is the time."""
