"""The command line: finds the caller and the workspace, and opens the door of one room."""
