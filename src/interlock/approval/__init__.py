"""Approval: the plan, drafts, and approved records: what a human has agreed to, byte for byte.

A draft is words and intentions; nothing runs from it. Approving freezes everything that was shown into an approved
record with a digest, once; it starts nothing. Only a human approves. An approved record can expire and be revoked,
and never changes otherwise.
"""
