"""Workspace: the directory that an operator sees: made by `interlock init`, with windows on what the database says.

The database owns the facts. The files in the places that the seeds name are windows: rendered after commit,
atomically, rebuildable, held against the database by `interlock windows verify`. Nothing reads them back.
"""
