"""Remote: the rooms of a workspace that a server holds, in the shape in which the command-line doors ask for rooms.

Nothing is decided here: a verb becomes a request, its answer becomes the room's own words, a problem becomes the error
that the room would have raised. So a command says the same, and ends with the same code, here and from afar. The token
goes to the one address that was named and nowhere else; no redirect is followed; what makes something is sent a second
time only under a key that lets the server make it once.
"""
