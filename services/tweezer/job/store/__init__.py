"""The statements of the job service, by subject: plain functions of a connection.

Each is called inside `database.write` (one transaction) or `database.read`. Statements are built
once and kept, because building costs more than running them.
"""
