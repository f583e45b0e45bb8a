"""MCP: agents and editors read the plan and the approved work, dispatch it and follow its runs.

What is here is the whole profile: five resources, three prompts, two tools. None of them reaches a draft or approves
anything; a draft's id is refused wherever it stands, before anybody is asked. The profile is written once (`server.py`)
over a small port, the `Bridge`: a workspace of this machine (`house.py`), or a server that is asked with a token
(`afar.py`). It is served over stdio (`stdio.py`), or over HTTP behind the same gate as every route (`mounted.py`).

Both eras of the protocol that the SDK serves are served. Nothing is kept between two requests over HTTP, so a server
may go away and another one over the same database answers the next.
"""
