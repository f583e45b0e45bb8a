"""The console as people use it: the built page in a real Chromium, a real server, real runs of real commands."""
