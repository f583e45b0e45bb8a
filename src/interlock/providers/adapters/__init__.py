"""One module for each protocol: says with the provider's official client what is asked, and reads what came back.

All of them send over `connection`, which alone decides where a request may go, what goes with it, and what is taken.
"""
