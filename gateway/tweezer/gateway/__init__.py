"""The REST gateway: turns HTTP and JSON into gRPC calls and back; no rules, no state."""
