"""Protobuf messages to what orjson writes, and checked input to protobuf messages, by hand."""
