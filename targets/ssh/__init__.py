"""SSH hosts of the estate: one listener for all of them, the logins they take, and what their commands answer."""
