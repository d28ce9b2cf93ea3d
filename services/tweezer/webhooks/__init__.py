"""Tells web servers of users that a job or a batch is final; hosted by the services that know."""
