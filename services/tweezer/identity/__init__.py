"""The built-in issuer: users, their projects, and the tokens they log in with."""
