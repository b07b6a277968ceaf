"""Server of the realtime protocol over WebSockets, its web page, and the browser preview of a render.

Here: messages, play sessions, the session pool, access rules, frame encoding, the HTTP server. Not here: the
model (model/), the terminal player (terminal/) and the client of other servers (remote/).
"""
