"""What every HTTP request passes through before it reaches a route; plain ASGI."""
