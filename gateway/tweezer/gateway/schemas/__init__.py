"""What the API takes and answers, as documented in OpenAPI.

Input is checked against these models. Answers are written by hand for speed; tests compare them
with the models.
"""
