"""Storage: the rooms' rows, in SQLite or PostgreSQL, by hand-written, named SQL.

One transaction writes state first and its events last; whoever reads a row that changed finds the event that says so.
`sql/` holds the statements that both databases share, `sqlite/` and `postgres/` what differs: connection, claims,
sealing, migrations. The modules beside this page give the rooms their ports. Nothing else speaks SQL to a driver.
"""
