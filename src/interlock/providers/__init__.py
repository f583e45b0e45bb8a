"""Providers: the models that write the content of drafts, and where they are configured.

A provider only ever makes a draft; nothing runs from that, and a call that failed leaves a draft in error. The file
`.orch_data/ops/provider.json` owns the configuration; each change of it is an event. A key is looked up when a call is
made and put on the wire by us alone: no answer, error, log, event or other file ever holds it. Nothing is called inside
a transaction.
"""
