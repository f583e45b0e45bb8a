"""The HTTP surface: finds the caller, hands over to the rooms' doors, and answers every failure in one shape.

The gate stands before everything: correlation id, token, throttling. Then comes the route's role, then the body. What a
room refuses becomes a problem (RFC 9457); what nobody foresaw becomes a 500 that says nothing but its correlation id.
"""
