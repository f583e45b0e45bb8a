"""What whole rooms have in common, tried with whatever comes."""
