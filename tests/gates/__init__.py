"""A small house with the project's own configuration, and services that know of weaknesses, for tests of the gates."""
