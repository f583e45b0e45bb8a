"""Access: who is calling, and what such a caller may do at all.

A principal is proven, never merely named, and has a kind. Agents never approve: approving, accepting a pipeline,
releasing panic and changing policy need a human principal, whatever else it may do.
"""
