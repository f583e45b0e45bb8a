"""The quality gates: each looks at a tree of this project and says whether it passed, and what was wrong if not.

`verdict` is what they share. `generated` holds pages against the code that makes them, `findings` what other tools find
in the code, `dependencies` what others know of what we build on, `suite` what the tests come to. Gates that are one
command each stand in the table of `quality_gates.py`. What is excused stands in `excused.toml`, each with its reason;
what excuses nothing any more fails.
"""
