"""The console in the browser: the built pages of `ui/`, and who serves them.

Nothing in here is secret and nothing in here decides: the pages ask the HTTP doors like everybody else.
"""
