"""alerts: sees to it that a human hears of what should be heard of: once, whatever is down, and again when it is over.

What comes in (a row of a loop's `escalations.jsonl`, an event of the log) opens an alert, or belongs to one that is
open; its key is the verdict, not the time. Each change that is worth telling makes one delivery for each sink, in the
same transaction: the outbox. A delivery stays there until its sink has taken it. Between sending and noting lies the
one gap: who dies in it sends again, under the same key (at least once; receivers that know keys see one).

Not here: judging loops (`loops`), and deciding anything. Panic stops no alert.
"""
